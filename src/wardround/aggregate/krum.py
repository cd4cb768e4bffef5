"""Choose updates that have many others near them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wardround.aggregate.weighting import Uniform
from wardround.checker import Combiner, View, Weights
from wardround.core.geometry import centred_products, squared_distances, weighted_sum
from wardround.core.update import Aggregate, Update
from wardround.errors import PlanError


@dataclass(frozen=True)
class Krum(Uniform):
    """The one update whose neighbours are nearest (Blanchard et al. 2017, Machine Learning with Adversaries, NeurIPS).

    The score of an update is the sum of its squared distances to its ``n - malicious - 2`` nearest neighbours; the
    smallest wins.

    Attributes:
        malicious: sites that may be malicious, at least 1; a round needs ``2 malicious + 3``.
    """

    name: ClassVar[str] = "krum"
    malicious: int = 1

    def __post_init__(self) -> None:
        if self.malicious < 1:
            raise PlanError(f"aggregator malicious = {self.malicious}: give 1 or more, or choose mean")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, and enough of them."""
        return Combiner(self.name, View.EACH, Weights.PUBLIC, 2 * self.malicious + 3, takes_groups=True)

    def combine(self, updates: Iterable[Update]) -> Aggregate:
        """Sum the chosen updates; all of the round are held at once. Of too few, an empty sum of weight 0."""
        held = list(updates)
        if len(held) < self.combiner.least_updates:
            return Aggregate({}, 0.0, ())
        order = np.argsort(self._scores(held), kind="stable")[: self._count(len(held))]
        weights = np.zeros(len(held))
        weights[order] = 1.0
        total = weighted_sum([update.tensors for update in held], weights.tolist())
        sites = tuple(update.site for update in held)
        return Aggregate(total, float(len(order)), sites, dict(zip(sites, weights.tolist(), strict=True)))

    def _scores(self, updates: list[Update]) -> np.ndarray:
        apart = np.sort(squared_distances(centred_products([update.tensors for update in updates])), axis=1)
        near = len(updates) - self.malicious - 2
        return np.asarray(apart[:, 1 : 1 + near].sum(axis=1))

    def _count(self, updates: int) -> int:
        return 1


@dataclass(frozen=True)
class MultiKrum(Krum):
    """The mean of the ``n - malicious`` updates with the best scores (Blanchard et al. 2017, section 5)."""

    name: ClassVar[str] = "multi_krum"

    def _count(self, updates: int) -> int:
        return updates - self.malicious
