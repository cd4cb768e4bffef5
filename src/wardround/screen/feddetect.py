"""Judge sites by the training losses that they report: as published, and mended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import robust_deviation
from wardround.core.update import Update
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Verdict
from wardround.screen.clipping import shortened

_SEED = 999
"""Of the forest, as released."""


@dataclass(frozen=True)
class FedDetect:
    """FedDetect as released with Jin and Li 2022, arXiv:2207.00762 (extended in MedIA 90:102965, 2023).

    An isolation forest looks at the absolute losses of each site's last batch. From the round after `warm_up` on, if it
    finds outliers at fewer than half of the sites, the count of each goes up by one and its weight is multiplied by
    `decay` to the power of its count. Weights are never given back, and what the forest calls an outlier among few
    numbers is often honest: this is the published baseline, mistakes included.

    Attributes:
        warm_up: last round, counted from 0, in which nothing is done.
        decay: factor, in (0, 1).
    """

    warm_up: int = 10
    decay: float = 0.9

    def __post_init__(self) -> None:
        if self.warm_up < 0 or not 0 < self.decay < 1:
            raise PlanError("feddetect needs warm_up >= 0 and decay in (0, 1)")

    @property
    def combiner(self) -> Combiner:
        """It needs each site's weight of its own, and a mean that weighs by trust."""
        return Combiner("feddetect", View.EACH, gives_trust=True)

    def judge(self, case: Case) -> Judgement:
        """Look for outliers among the losses of last batches; see `Screen.judge`."""
        losses = np.abs([reported(update, "last_loss") for update in case.updates])
        odd = _outliers(losses)
        acts = case.ctx.round > self.warm_up and odd.sum() < len(odd) // 2
        weights, counts = {}, {}
        for site, is_odd in zip(case.sites, odd, strict=True):
            flagged = acts and bool(is_odd)
            counts[site] = kept(case, f"count/{site}", 0.0) + flagged
            weights[site] = kept(case, f"weight/{site}", 1.0) * (self.decay ** counts[site] if flagged else 1.0)
        most = max(weights.values(), default=1.0)
        verdicts = {
            site: Verdict(
                weights[site] / most,
                f"its last loss stood out in {counts[site]:.0f} rounds" if counts[site] else "",
                {"last loss": float(loss), "outlier": float(is_odd), "count": counts[site]},
            )
            for site, loss, is_odd in zip(case.sites, losses, odd, strict=True)
        }
        memory = {
            **case.memory,
            **_memory("count", counts),
            **_memory("weight", {s: w / most for s, w in weights.items()}),
        }
        return Judgement(verdicts, memory=memory)


@dataclass(frozen=True)
class CalibratedFedDetect:
    """FedDetect with its mistakes mended: clip, mean losses, high ones only, an effect size, recovery.

    Updates are shortened to the median norm, without which a site that scales its update has a lower loss than honest
    ones. The mean loss of a round is compared with the median of the sites in robust standard deviations with a floor;
    only a higher one counts. A site that stands out is left out of the round; its count goes up by one, down by one in
    every other round, and while it is above 0 the site has `decay` to the power of it of its weight. It believes what
    sites report: a site that lies is not found.

    Attributes:
        deviations: above which a loss stands out.
        floor: least standard deviation, as a share of the median loss.
        warm_up: rounds in which nothing is done.
        decay: factor, in (0, 1).
    """

    deviations: float = 5.0
    floor: float = 0.05
    warm_up: int = 3
    decay: float = 0.5

    def __post_init__(self) -> None:
        if self.deviations <= 0 or self.floor <= 0 or self.warm_up < 0 or not 0 < self.decay < 1:
            raise PlanError("calibrated_feddetect needs deviations and floor above 0, warm_up >= 0, decay in (0, 1)")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, and a mean that weighs by trust."""
        return Combiner("calibrated_feddetect", View.EACH, gives_trust=True)

    def judge(self, case: Case) -> Judgement:
        """Look for high mean losses; see `Screen.judge`."""
        losses = np.array([reported(update, "loss") for update in case.updates])
        middle = float(np.median(losses)) if len(losses) else 0.0
        spread = max(robust_deviation(losses), self.floor * abs(middle))
        far = (losses - middle) / spread if spread else np.zeros(len(losses))
        verdicts, counts = {}, {}
        for site, value, loss in zip(case.sites, far.tolist(), losses.tolist(), strict=True):
            flagged = case.ctx.round >= self.warm_up and value > self.deviations
            counts[site] = max(0.0, kept(case, f"count/{site}", 0.0) + (1 if flagged else -1))
            verdicts[site] = self._verdict(flagged, value, loss, counts[site])
        _, updates = shortened(case.updates)
        return Judgement(verdicts, updates, {**case.memory, **_memory("count", counts)})

    def _verdict(self, flagged: bool, far: float, loss: float, count: float) -> Verdict:
        evidence = {"loss": loss, "deviations": far, "count": count}
        if flagged:
            return Verdict(0.0, f"its loss {loss:.3g} is {far:.1f} deviations above the median", evidence)
        return Verdict(self.decay**count, f"it stood out {count:.0f} times more than not" if count else "", evidence)


def reported(update: Update, key: str) -> float:
    """Return a loss that a site told; the mean one where it does not tell the last."""
    return float(update.reported.get(key, update.reported.get("loss", 0.0)))


def kept(case: Case, key: str, default: float) -> float:
    """Return a number that a screen remembers."""
    return float(case.memory[key]) if key in case.memory else default


def _memory(group: str, values: dict[str, float]) -> dict[str, np.ndarray]:
    return {f"{group}/{site}": np.array(value, np.float64) for site, value in values.items()}


def _outliers(losses: np.ndarray) -> np.ndarray:
    """Return bool ``(N,)``: what the released isolation forest calls an outlier among the points ``(0, loss)``."""
    from sklearn.ensemble import IsolationForest

    if len(losses) < 2:
        return np.zeros(len(losses), bool)
    points = np.stack([np.zeros(len(losses)), losses], axis=1)
    forest = IsolationForest(max_samples=len(losses), contamination="auto", random_state=_SEED)
    return np.asarray(forest.fit_predict(points) == -1)
