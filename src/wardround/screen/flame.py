"""Keep the largest cluster of directions, shorten what is long, add a little noise."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.context import RoundContext
from wardround.core.geometry import clipped, cosines, products
from wardround.core.update import Tensors, Update
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Verdict


@dataclass(frozen=True)
class Flame:
    """Filter by clusters of angles, clip to the median norm, add noise (Nguyen et al. 2022, arXiv:2101.02281, alg. 1).

    HDBSCAN looks for one cluster of more than half of the sites by the cosine distances of their updates; the paper
    compares models, which are close to each other. The noise has standard deviation ``noise`` times the median norm,
    comes from the plan's seed and promises no (epsilon, delta).

    Attributes:
        noise: the paper's lambda; 0 adds none.
    """

    noise: float = 0.001

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf:
            raise PlanError(f"screen noise = {self.noise} is no multiple of a norm: give 0 or more")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, of three sites at least."""
        return Combiner("flame", View.EACH, least_updates=3, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        """Filter, clip and add noise; see `Screen.judge`."""
        gram = products([update.tensors for update in case.updates])
        lengths = np.sqrt(np.diag(gram))
        kept = _largest_cluster(np.clip(1 - cosines(gram), 0.0, 2.0))
        most = float(np.median(lengths)) if len(lengths) else 0.0
        verdicts = {
            site: Verdict(float(stays), "" if stays else "it points where the larger half of the sites does not")
            for site, stays in zip(case.sites, kept, strict=True)
        }
        added = self._noise(case.updates[0].tensors, most, case.ctx) if case.updates else {}
        updates = [
            _moved(clipped(update, float(length), most), added)
            for update, length in zip(case.updates, lengths, strict=True)
        ]
        return Judgement(verdicts, updates)

    def _noise(self, like: Tensors, most: float, ctx: RoundContext) -> dict[str, np.ndarray]:
        """Return one draw: added to every update, it is in their mean once."""
        rng, deviation = ctx.rng("flame"), self.noise * most
        if not deviation:
            return {}
        return {n: np.asarray(rng.normal(0, deviation, like[n].shape), like[n].dtype) for n in sorted(like)}


def _largest_cluster(distances: np.ndarray) -> np.ndarray:
    """Return bool ``(N,)``: the one cluster of more than half of the sites; all of them where there is none."""
    from sklearn.cluster import HDBSCAN

    count = len(distances)
    if count < 3:
        return np.ones(count, bool)
    found = HDBSCAN(
        min_cluster_size=count // 2 + 1, min_samples=1, metric="precomputed", allow_single_cluster=True, copy=True
    ).fit_predict(distances)
    kept = np.asarray(found == 0)
    return kept if kept.any() else np.ones(count, bool)


def _moved(update: Update, added: Tensors) -> Update:
    if not added:
        return update
    return dataclasses.replace(update, tensors={name: v + added[name] for name, v in update.tensors.items()})
