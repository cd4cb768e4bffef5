"""The weighted mean, formed as a streaming sum and divided once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wardround.aggregate.weighting import Weighed
from wardround.checker import Combiner, View, Weights
from wardround.core.update import Aggregate, Update


@dataclass(frozen=True)
class Mean(Weighed):
    """Sum of updates, each times its weight (McMahan et al. 2017, arXiv:1602.05629, algorithm 1).

    A screen that trusts a site by halves halves its weight.

    Attributes:
        weighting: ``"examples"`` weighs an update by its site's number of training examples, ``"uniform"`` by 1.
    """

    weighting: str = "examples"

    @property
    def combiner(self) -> Combiner:
        """It needs no more than the sum; its weights may be what sites report."""
        weights = Weights.REPORTED if self.weighting == "examples" else Weights.PUBLIC
        return Combiner("mean", View.SUM, weights, heeds_trust=True)

    def combine(self, updates: Iterable[Update]) -> Aggregate:
        """Sum `updates` in the order in which they come, holding one of them at a time.

        Returns:
            The sum in float64; without updates, an empty one of weight 0.
        """
        total: dict[str, np.ndarray] = {}
        weight = 0.0
        sites: list[str] = []
        for update in updates:
            share = self.share(update.num_examples) * update.trust
            for name, value in update.tensors.items():
                part = np.asarray(share * value.astype(np.float64))  # an array also where the weight has no axes
                if name in total:
                    total[name] += part
                else:
                    total[name] = part
            weight += share
            sites.append(update.site)
        return Aggregate(total, weight, tuple(sites))
