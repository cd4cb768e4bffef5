"""Order statistics, coordinate by coordinate: what a few sites send cannot move them far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wardround.aggregate.selection import sort_rows
from wardround.aggregate.weighting import Uniform
from wardround.checker import Combiner, View, Weights
from wardround.core.update import Aggregate, Update
from wardround.errors import PlanError

_BLOCK_VALUES = 2**14
"""Values of one update that are sorted together: those of ten stay in a core's cache."""


@dataclass(frozen=True)
class Median(Uniform):
    """The middle update of each coordinate, or the mean of the two middle ones (Yin et al. 2018, arXiv:1803.01498).

    Every site counts once, whatever its number of examples.
    """

    @property
    def combiner(self) -> Combiner:
        """It needs each update."""
        return Combiner("median", View.EACH, Weights.PUBLIC, takes_groups=True)

    def combine(self, updates: Iterable[Update]) -> Aggregate:
        """Sort, and sum what is in the middle; all updates of the round are held at once."""
        held = list(updates)
        return _middle(held, (len(held) - 1) // 2)


@dataclass(frozen=True)
class TrimmedMean(Uniform):
    """The mean of each coordinate without its largest and its smallest values (Yin et al. 2018, arXiv:1803.01498).

    Every site counts once, whatever its number of examples.

    Attributes:
        trim: sites left out at either end, at least 1: as many as may be malicious. A round needs ``2 trim + 1``.
    """

    trim: int = 1

    def __post_init__(self) -> None:
        if self.trim < 1:
            raise PlanError(f"aggregator trim = {self.trim} leaves nothing out: give 1 or more, or choose mean")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, and enough of them."""
        return Combiner("trimmed_mean", View.EACH, Weights.PUBLIC, 2 * self.trim + 1, takes_groups=True)

    def combine(self, updates: Iterable[Update]) -> Aggregate:
        """Sort, and sum what is left; all updates of the round are held at once.

        Of fewer than ``2 trim + 1`` updates nothing is left: an empty sum of weight 0.
        """
        held = list(updates)
        return _middle(held if len(held) > 2 * self.trim else [], self.trim)


def _middle(updates: list[Update], trim: int) -> Aggregate:
    """Sum what is left of every coordinate without its `trim` largest and smallest values, a block at a time."""
    if not updates:
        return Aggregate({}, 0.0, ())
    total = {}
    last = len(updates) - trim
    for name, first in updates[0].tensors.items():
        rows = [update.tensors[name].reshape(-1) for update in updates]
        summed = np.empty(first.size, np.float64)
        block = np.empty((len(rows), min(first.size, _BLOCK_VALUES)), first.dtype)
        spare = np.empty(block.shape[1], first.dtype)
        for start in range(0, first.size, _BLOCK_VALUES):
            count = min(_BLOCK_VALUES, first.size - start)
            for row, values in zip(block, rows, strict=True):
                row[:count] = values[start : start + count]
            sort_rows(block[:, :count], trim, last, spare[:count])
            np.sum(block[trim:last, :count], axis=0, dtype=np.float64, out=summed[start : start + count])
        total[name] = summed.reshape(first.shape)
    return Aggregate(total, float(last - trim), tuple(update.site for update in updates))
