"""The versions of the software that decides a run's numbers."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "wardround",
    "torch",
    "numpy",
    "safetensors",
    "monai",
    "scikit-image",
    "scikit-learn",
    "tenseal",
    "cryptography",
    "dp-accounting",
    "nvflare",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a run's numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an optional package that is not installed decided nothing
    return found
