"""Values out of a file that anybody may have written: each is what it should be, or refused."""

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
    """Return a count.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def text(value: Any) -> str:
    """Return text.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def texts(values: Any) -> tuple[str, ...]:
    """Return a sequence of texts.

    Raises:
        ValueError: one of them is none.
    """
    return tuple(text(value) for value in values)
