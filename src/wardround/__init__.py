"""Hospitals train medical-image models together, and nobody else reads an image, a label or an update.

The names below are the public ones; each is imported when it is first used, because torch takes seconds.

    >>> import wardround
    >>> plan = wardround.parse({"name": "mine", "rounds": 2})
    >>> plan.rounds
    2
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "DataError": "errors",
    "InputError": "errors",
    "PlanError": "errors",
    "RunError": "errors",
    "RunFolderError": "errors",
    "SiteError": "errors",
    "WardroundError": "errors",
    "WireError": "errors",
    "Coordinator": "rounds.coordinator",
    "Plan": "rounds.plan",
    "Site": "rounds.site",
    "LocalFabric": "fabric.local",
    "WorkerFabric": "fabric.workers",
    "Predictions": "metrics.clinical",
    "Scores": "metrics.scores",
    "describe": "metrics.intervals",
    "describe_scores": "metrics.intervals",
    "paired_difference": "metrics.intervals",
    "load": "study.spec",
    "parse": "study.spec",
    "train": "study.run",
    "predict": "study.predict",
    "predict_images": "study.predict_images",
    "write_report": "report",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wardround' has no attribute {name!r}")
    return getattr(importlib.import_module(f"wardround.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
