"""One byte a value: stochastic quantisation on a grid of each site's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wardround.checker.contract import Contract, Norm, Numbers

LARGEST = 127


@dataclass(frozen=True)
class Int8:
    """Round every value to a multiple of its tensor's step, up or down at random so that the mean is unbiased.

    The step is the tensor's largest absolute value / 127, and travels with the codes (Alistarh et al. 2017,
    arXiv:1610.02132, with the largest value in place of the norm). Steps differ between sites, so that codes cannot be
    added unread: for sums that nobody reads there is `Quantise`.

    Attributes:
        feedback: whether what rounding changed is added to the site's next update.
    """

    feedback: bool = True

    @property
    def contract(self) -> Contract:
        """Codes, each less than a step from its value."""
        return Contract(frozenset({Numbers.REAL}), Numbers.CODES, norm=Norm.INFLATES, remembers=self.feedback)


def to_codes(tensors: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Quantise.

    Args:
        tensors: finite float32 ``(n_i,)``, one for each tensor; none may be empty of meaning, all may be empty.
        rng: decides which way a value is rounded.

    Returns:
        Codes, int8 ``(sum of n_i,)`` in [-127, 127], and steps, float32 ``(len(tensors),)``.
    """
    steps = np.array([np.max(np.abs(values), initial=0.0) / LARGEST for values in tensors], np.float32)
    codes = [_rounded(values, step, rng) for values, step in zip(tensors, steps, strict=True)]
    return np.concatenate(codes or [np.empty(0, np.int8)]), steps


def from_codes(codes: np.ndarray, steps: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return float32 values of `codes`, of which the first ``sizes[0]`` have the first step, and so on."""
    return np.asarray(codes.astype(np.float32) * np.repeat(steps, sizes))


def _rounded(values: np.ndarray, step: np.float32, rng: np.random.Generator) -> np.ndarray:
    if step < np.finfo(np.float32).tiny:  # all zero, or so small that a float32 step is no step any more
        return np.zeros(values.size, np.int8)
    rounded = np.floor(values / step + rng.random(values.size))
    return np.clip(rounded, -LARGEST, LARGEST).astype(np.int8)
