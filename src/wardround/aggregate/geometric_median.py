"""The point with the least sum of distances to all updates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wardround.aggregate.weighting import Weighed
from wardround.checker import Combiner, View, Weights
from wardround.core.geometry import centred_products, weighted_sum
from wardround.core.update import Aggregate, Update

_SMOOTHING = 1e-6
_MOST_STEPS = 200
_ENOUGH = 1e-10


@dataclass(frozen=True)
class GeometricMedian(Weighed):
    """RFA: the geometric median by the smoothed Weiszfeld algorithm (Pillutla et al. 2022, arXiv:1912.13445).

    Distances shorter than a millionth of the longest count as that. All steps are taken on the inner products of every
    two updates, so that the updates are passed over twice, however many steps there are.

    Attributes:
        weighting: ``"examples"`` weighs a site by its number of training examples, as in the paper, ``"uniform"`` by 1:
            then none can gain weight by what it reports.
    """

    weighting: str = "uniform"

    @property
    def combiner(self) -> Combiner:
        """It needs each update."""
        weights = Weights.REPORTED if self.weighting == "examples" else Weights.PUBLIC
        return Combiner("geometric_median", View.EACH, weights, heeds_trust=True, takes_groups=True)

    def combine(self, updates: Iterable[Update]) -> Aggregate:
        """Sum the updates with the weights that the last step gave them; all of the round are held at once."""
        held = list(updates)
        if not held:
            return Aggregate({}, 0.0, ())
        shares = np.array([self.share(update.num_examples) * update.trust for update in held])
        weights = _weiszfeld(centred_products([update.tensors for update in held]), shares / shares.sum())
        total = weighted_sum([update.tensors for update in held], weights.tolist())
        sites = tuple(update.site for update in held)
        relative = weights / weights.max()
        return Aggregate(total, float(weights.sum()), sites, dict(zip(sites, relative.tolist(), strict=True)))


def _weiszfeld(gram: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return float64 ``(N,)``, sum 1: the geometric median as a mean of the points with these inner products."""
    weights = shares
    for _ in range(_MOST_STEPS):
        toward = gram @ weights
        apart = np.sqrt(np.maximum(np.diag(gram) - 2 * toward + weights @ toward, 0.0))
        if not apart.max():
            return weights
        found = shares / np.maximum(apart, _SMOOTHING * apart.max())
        found /= found.sum()
        if np.abs(found - weights).max() < _ENOUGH:
            return np.asarray(found)
        weights = found
    return np.asarray(weights)
