"""Checks of single values that a run folder holds."""

from __future__ import annotations

import math
from typing import Any


def number(value: Any) -> float:
    """Return a finite number.

    Raises:
        ValueError: it is none.
    """
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def count(value: Any) -> int:
    """Return a whole number from 0 on.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def text(value: Any) -> str:
    """Return a text.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def texts(values: Any) -> tuple[str, ...]:
    """Return texts.

    Raises:
        ValueError: one is none.
    """
    return tuple(text(value) for value in values)
