"""The package offers few names, and importing it costs nothing."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest

import wardround


def test_every_public_name_is_there() -> None:
    assert len(wardround.__all__) <= 30
    for name in wardround.__all__:
        assert getattr(wardround, name).__name__ == name
    assert set(dir(wardround)) == set(wardround.__all__)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        wardround.tarin  # noqa: B018


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, wardround; print([m for m in ('torch', 'numpy', 'pydantic', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(wardround).failed == 0
