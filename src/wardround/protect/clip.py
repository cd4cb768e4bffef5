"""Bound the norm of an update."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wardround.checker.contract import Contract, Norm, Numbers
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, all_finite, without_votes
from wardround.errors import PlanError, SiteError


@dataclass(frozen=True)
class Clip:
    """Scale an update down so that its joint L2 norm is at most `norm` (McMahan et al. 2018, arXiv:1710.06963).

    Attributes:
        norm: largest norm that leaves a site, > 0, in the units of the weights; all tensors count as one vector, but
            for votes, which pass as they are.
    """

    norm: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.norm < math.inf:
            raise PlanError(f"clip norm = {self.norm} is not a positive number")

    @property
    def contract(self) -> Contract:
        """Real numbers of a bounded norm."""
        return Contract(frozenset({Numbers.REAL}), Numbers.REAL, norm=Norm.BOUNDS)

    def encode(self, change: Tensors, ctx: RoundContext) -> Tensors:
        """Return the change with its norm bounded; see `clip_to_norm`."""
        return {**change, **clip_to_norm(without_votes(change), self.norm)[0]}


def norm_of(tensors: Tensors) -> float:
    """Return the joint L2 norm of all arrays, summed in float64; infinite where that overflows."""
    with np.errstate(over="ignore"):
        return math.sqrt(sum(float(np.sum(np.square(value, dtype=np.float64))) for value in tensors.values()))


def clip_to_norm(tensors: Tensors, bound: float) -> tuple[Tensors, float]:
    """Scale `tensors` so that their joint L2 norm is at most `bound`.

    Args:
        tensors: name -> float array of any shape.
        bound: largest allowed norm, > 0.

    Returns:
        The scaled tensors (same names, shapes, dtypes) and the norm before scaling.

    Raises:
        SiteError: a value is NaN or infinite, or the norm itself overflows.
    """
    norm = norm_of(tensors)
    if not (all_finite(tensors.values()) and math.isfinite(norm)):
        raise SiteError("the update is not finite, so its norm cannot be bounded; lower training.learning_rate")
    if norm <= bound:
        return tensors, norm
    scaled = {name: _shrunk(value, bound / norm) for name, value in tensors.items()}
    # float32 rounding may end a hair above the bound.
    excess = norm_of(scaled)
    if excess > bound:
        scaled = {name: _shrunk(value, bound / excess * (1 - 1e-6)) for name, value in scaled.items()}
    return scaled, norm


def _shrunk(value: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(value * factor, value.dtype)
