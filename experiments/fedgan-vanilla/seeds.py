"""Numbers of a few seeds, and what they can decide."""

from __future__ import annotations

import numpy as np
from scipy import stats


def interval(values: list[float]) -> list[float]:
    """Return mean and ends of the 95% interval over seeds (Student's t); without ends for a single one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return [mean]
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return [mean, mean - half, mean + half]


def geometric(ratios: list[float]) -> list[float]:
    """Return the geometric mean of ratios and the ends of its 95% interval over seeds; `interval` of their logarithms.

    What halves and what doubles a distance then count alike, and no end lies below zero.
    """
    return [float(np.exp(value)) for value in interval(list(np.log(ratios)))]


def at_most(found: list[float], aim: float) -> str:
    """Say whether an interval lies at or below an aim."""
    if len(found) < 3:
        return "undecided"
    return "met" if found[2] <= aim else "missed" if found[1] > aim else "undecided"
