"""Leave out updates that are far longer than the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import norm
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Verdict


@dataclass(frozen=True)
class Norms:
    """Leave out an update whose joint L2 norm is more than `times` the median of the round's.

    It stops sites that shout (Sun et al. 2019, arXiv:1911.07963, who clip where this leaves out), not those that
    whisper something wrong.

    Attributes:
        times: above 1; sites with more images or other labels make longer updates honestly.
    """

    times: float = 3.0

    def __post_init__(self) -> None:
        if not 1 < self.times < math.inf:
            raise PlanError(f"screen times = {self.times} is not above 1: honest updates would be left out")

    @property
    def combiner(self) -> Combiner:
        """It needs each update."""
        return Combiner("norms", View.EACH, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        """Leave out what is too long; see `Screen.judge`."""
        norms = {update.site: norm(update.tensors) for update in case.updates}
        most = self.times * float(np.median(list(norms.values()) or [0.0]))
        return Judgement({site: self._verdict(length, most) for site, length in norms.items()})

    def _verdict(self, length: float, most: float) -> Verdict:
        evidence = {"norm": length, "most": most}
        if length <= most:
            return Verdict(evidence=evidence)
        reason = f"its update has norm {length:.4g}, and {most:.4g} is the most that screen norms lets through"
        return Verdict(0.0, reason, evidence)
