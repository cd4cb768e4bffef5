"""Leave out updates that are far longer than the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.update import Update
from wardround.errors import PlanError


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
        return Combiner("norms", View.EACH)

    def judge(self, updates: Sequence[Update]) -> Mapping[str, str]:
        """Return the sites that are left out, each with the reason."""
        norms = {update.site: _norm(update) for update in updates}
        most = self.times * float(np.median(list(norms.values()) or [0.0]))
        return {
            site: f"its update has norm {norm:.4g}, and {most:.4g} is the most that screen norms lets through"
            for site, norm in norms.items()
            if norm > most
        }


def _norm(update: Update) -> float:
    return math.sqrt(sum(float(np.sum(np.square(value, dtype=np.float64))) for value in update.tensors.values()))
