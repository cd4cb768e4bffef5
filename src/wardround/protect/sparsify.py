"""Few coordinates instead of all: what a site sends of its update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from wardround.checker.contract import Contract, Norm, Numbers, Picks
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.protect.row import Row

_REAL = frozenset({Numbers.REAL})


@dataclass(frozen=True)
class _Own(ABC):
    """Sites choose coordinates of their own, by what is in their update; everything else becomes zero."""

    @property
    @abstractmethod
    def feedback(self) -> bool:
        """Whether what was left out is added to the site's next update."""

    @property
    def contract(self) -> Contract:
        """Fewer coordinates, so no longer a norm; which ones says something of the update."""
        return Contract(_REAL, Numbers.REAL, picks_coordinates=Picks.OWN, remembers=self.feedback)

    @abstractmethod
    def keeps(self, sizes: np.ndarray) -> np.ndarray:
        """Return which of these absolute values ``(n,)`` are kept, as bools."""

    def encode(self, change: Tensors, ctx: RoundContext) -> Tensors:
        """Return the change with all but the kept coordinates at zero; one that is zero anyway is never kept."""
        row = Row.of(change)
        values = row.values(change, np.float32)
        return row.tensors(np.where(self.keeps(np.abs(values)), values, np.float32(0)))


@dataclass(frozen=True)
class Threshold(_Own):
    """Keep what is larger than a constant, ``|g| > tau``: a published rule, which has no error feedback.

    Attributes:
        tau: in the units of the weights; every coordinate of an update is compared with it as it is.
        feedback: whether what was left out is added to the site's next update. The published rule drops it.
    """

    tau: float = 0.01
    feedback: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.tau < math.inf:
            raise PlanError(f"threshold tau = {self.tau} is not a positive number")

    def keeps(self, sizes: np.ndarray) -> np.ndarray:
        """Return what exceeds `tau`."""
        return sizes > self.tau


@dataclass(frozen=True)
class TopK(_Own):
    """Keep the largest coordinates (Stich et al. 2018, arXiv:1809.07599; all tensors count as one vector).

    Attributes:
        fraction: share of the coordinates that is kept, in (0, 1]; at least one.
        feedback: whether what was left out is added to the site's next update.
    """

    fraction: float = 0.01
    feedback: bool = True

    def __post_init__(self) -> None:
        _check_fraction("topk", self.fraction)

    def keeps(self, sizes: np.ndarray) -> np.ndarray:
        """Return the largest; of equal ones those that come first."""
        count = count_of(self.fraction, sizes.size)
        least = np.partition(sizes, sizes.size - count)[sizes.size - count]
        kept = sizes > least
        equal = np.flatnonzero(sizes == least)
        kept[equal[: count - int(np.count_nonzero(kept))]] = True
        return np.asarray(kept & (sizes > 0))


@dataclass(frozen=True)
class RandomK:
    """Keep coordinates that the plan's seed chooses anew each round, the same at every site.

    The choice says nothing of any update, so that it survives sums that nobody reads, and no indices travel. (Random-k
    with a common seed; Stich et al. 2018, arXiv:1809.07599, has one choice for each site.)

    Attributes:
        fraction: share of the coordinates that is kept, in (0, 1]; at least one.
        feedback: whether what was left out is added to the site's next update. Without it, what is kept is divided by
            `fraction`, so that the mean over rounds is unbiased.
    """

    fraction: float = 0.01
    feedback: bool = True

    def __post_init__(self) -> None:
        _check_fraction("randomk", self.fraction)

    @property
    def contract(self) -> Contract:
        """The same coordinates at every site; without feedback they grow."""
        norm = Norm.KEEPS if self.feedback else Norm.GROWS
        return Contract(_REAL, Numbers.REAL, norm=norm, picks_coordinates=Picks.SHARED, remembers=self.feedback)

    def places(self, length: int, ctx: RoundContext) -> np.ndarray:
        """Return the coordinates of a round: int64, ascending, the same for everybody who has the plan.

        Raw 64-bit words of PCG64, whose stream NumPy promises to keep: sites of several versions agree.

        Args:
            length: of an update's row.
            ctx: the round.
        """
        words = np.random.PCG64(replace(ctx, site=None).entropy("randomk")).random_raw(length)
        count = count_of(self.fraction, length)
        return np.sort(np.argpartition(words, count - 1)[:count]).astype(np.int64)

    def encode(self, change: Tensors, ctx: RoundContext) -> Tensors:
        """Return the change with all but the round's coordinates at zero."""
        length = Row.of(change).length
        row = Row.of(change, self.places(length, ctx))
        values = row.values(change, np.float32)
        return row.tensors(values if self.feedback else values / np.float32(self.fraction))


def count_of(fraction: float, length: int) -> int:
    """Return how many of `length` coordinates are kept: at least one."""
    return max(1, round(fraction * length))


def _check_fraction(stage: str, fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise PlanError(f"{stage} fraction = {fraction} is outside (0, 1]")
