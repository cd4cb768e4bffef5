"""Screens that leave everybody in, and shorten what is long."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import clipped, norm
from wardround.core.update import Tensors, Update
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Verdict


@dataclass(frozen=True)
class ClipNorms:
    """Shorten every update to a norm (Sun et al. 2019, arXiv:1911.07963, section 5: norm thresholding).

    The stage ``clip`` does the same at the sites, where a malicious one need not.

    Attributes:
        norm: the most, in the units of the weights; 0 takes the median of the round, which needs no guess.
    """

    norm: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.norm < math.inf:
            raise PlanError(f"screen norm = {self.norm} is no length: give one above 0, or 0 for the round's median")

    @property
    def combiner(self) -> Combiner:
        """It needs each update."""
        return Combiner("clip_norms", View.EACH, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        """Shorten; see `Screen.judge`."""
        return Judgement(*shortened(case.updates, self.norm))


@dataclass(frozen=True)
class CentredClipping:
    """Shorten what each update differs by from the last mean (Karimireddy et al. 2021, arXiv:2012.10333, algorithm 2).

    Whoever pushes a little every round, always the same way, is kept near where the sites were together.

    Attributes:
        norm: the most that an update may differ, in the units of the weights (the paper's tau); 0 takes the median of
            the round, which the paper does not.
        steps: times that the clip is taken again around the mean that it led to, at least 1 (the paper's L).
    """

    norm: float = 0.0
    steps: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.norm < math.inf or self.steps < 1:
            raise PlanError("centred_clipping needs a norm of 0 or more and steps >= 1")

    @property
    def combiner(self) -> Combiner:
        """It needs each update."""
        return Combiner("centred_clipping", View.EACH, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        """Shorten around the mean that is remembered; see `Screen.judge`."""
        if not case.updates:
            return Judgement({}, memory=case.memory)
        centre: Tensors = case.memory or {n: np.zeros_like(v) for n, v in case.updates[0].tensors.items()}
        updates: list[Update] = []
        for _ in range(self.steps):
            apart = [_plus(update, centre, -1) for update in case.updates]
            lengths = [norm(update.tensors) for update in apart]
            most = self.norm or median_of(lengths)
            updates = [_plus(clipped(u, length, most), centre, 1) for u, length in zip(apart, lengths, strict=True)]
            centre = _mean(updates)
        verdicts = {site: bounded(length, most) for site, length in zip(case.sites, lengths, strict=True)}
        return Judgement(verdicts, updates, centre)


def shortened(updates: Sequence[Update], most: float = 0.0) -> tuple[dict[str, Verdict], list[Update]]:
    """Return what was done to each site's update, and the updates, none longer than `most`.

    Args:
        updates: of one round.
        most: a norm; 0 takes the median of the round.
    """
    lengths = [norm(update.tensors) for update in updates]
    most = most or median_of(lengths)
    held = list(zip(updates, lengths, strict=True))
    verdicts = {update.site: bounded(length, most) for update, length in held}
    return verdicts, [clipped(update, length, most) for update, length in held]


def bounded(length: float, most: float) -> Verdict:
    """Return the verdict on an update that is shortened to `most` where it is longer."""
    reason = f"it was shortened from norm {length:.4g} to {most:.4g}" if length > most else ""
    return Verdict(reason=reason, evidence={"norm": length, "most": most})


def median_of(lengths: list[float]) -> float:
    """Return the median; 0 of nothing."""
    return float(np.median(lengths)) if lengths else 0.0


def _plus(update: Update, tensors: Tensors, sign: int) -> Update:
    moved = {name: np.asarray(value + sign * tensors[name], value.dtype) for name, value in update.tensors.items()}
    return dataclasses.replace(update, tensors=moved)


def _mean(updates: list[Update]) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(sum(update.tensors[name].astype(np.float64) for update in updates) / len(updates), value.dtype)
        for name, value in updates[0].tensors.items()
    }
