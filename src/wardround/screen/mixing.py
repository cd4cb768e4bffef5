"""Replace each update by the mean of those near it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import centred_products, squared_distances, weighted_sum
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Verdict


@dataclass(frozen=True)
class NearestNeighbourMixing:
    """Replace each update by the mean of its ``n - malicious`` nearest, itself among them (Allouah et al. 2023).

    What unlike hospitals differ by is averaged out before a robust aggregator looks for what does not fit, so put a
    median, trimmed mean or Krum after it (arXiv:2302.01772, algorithm 2). An update that nobody is near changes little.
    Lengths tell who is near: do not shorten updates before.

    Attributes:
        malicious: sites that may be malicious; a round needs ``2 malicious + 1``. 0 takes as many as a round of its
            size can bear, just under half of it, which the paper does not.
    """

    malicious: int = 0

    def __post_init__(self) -> None:
        if self.malicious < 0:
            raise PlanError(f"screen malicious = {self.malicious}: give 1 or more, or 0 for just under half")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, and enough of them."""
        least = 2 * max(1, self.malicious) + 1
        return Combiner("nearest_neighbour_mixing", View.EACH, least_updates=least, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        """Mix; see `Screen.judge`."""
        tensors = [update.tensors for update in case.updates]
        apart = squared_distances(centred_products(tensors))
        malicious = self.malicious or (len(tensors) - 1) // 2
        kept = max(1, len(tensors) - malicious)
        near = [np.argsort(row, kind="stable")[:kept] for row in apart]
        updates = []
        for update, chosen in zip(case.updates, near, strict=True):
            mixed = weighted_sum([tensors[place] for place in chosen], [1 / kept] * kept)
            typed = {name: np.asarray(value, update.tensors[name].dtype) for name, value in mixed.items()}
            updates.append(dataclasses.replace(update, tensors=typed))
        times = np.bincount(np.array(near, np.int64).reshape(-1), minlength=len(tensors))
        verdicts = {
            site: Verdict(evidence={"times among the nearest": float(count)})
            for site, count in zip(case.sites, times, strict=True)
        }
        return Judgement(verdicts, updates)
