"""Measure every update again on images of the coordinator's own, and weigh the evidence of all rounds so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import clipped, norm
from wardround.errors import PlanError
from wardround.screen.base import Case, Harm, Judgement, Verdict
from wardround.screen.clipping import bounded, median_of

_MOST = 50.0
"""Largest logarithm of one e-value, so that it stays a number."""


@dataclass(frozen=True)
class EDetector:
    """Leave a site out while the evidence that it does harm is strong; what sites report is not believed.

    Updates are shortened to the median norm of the round, so that none gains by being long. Each is then tried on the
    model: the coordinator measures on its own images what the model loses of each of its abilities
    (`Harm`). A harm beyond `allowance` multiplies the evidence against the site, a smaller one divides it:

        e = mean over abilities of exp(bet z - bet^2 / 2),   z = (harm - allowance) / deviation
        evidence <- max(evidence, 1) e,                      left out while evidence >= 1 / false_alarms

    Of a site whose harms have a mean of at most `allowance`, given all rounds before, and tails no heavier than normal
    ones, e is 1 in the mean or less (an average of e-values is one, however they depend on each other), and the rounds
    until the first false alarm are ``1 / false_alarms`` in the mean or more: an e-detector of the CUSUM kind (Shin,
    Ramdas and Rinaldo 2024, arXiv:2203.03532, theorem 2.4). No number of attackers enters. A site that was accused
    wrongly comes back as its evidence falls; so that this takes rounds and not ages, the logarithm of the evidence is
    kept below twice that of the alarm.

    What does no harm on the coordinator's images, such as a trigger that they do not bear, is not seen.

    Attributes:
        false_alarms: for each site and round, in (0, 1).
        allowance: harm that an honest site may do in the mean, in the unit of the harms (AUC for a classifier): unlike
            hospitals, and a probe of few images, need more.
        bet: weight of one deviation, > 0; smaller ones are slower and surer.
    """

    false_alarms: float = 0.001
    allowance: float = 0.1
    bet: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1 or not 0 <= self.allowance < math.inf or not 0 < self.bet < math.inf:
            raise PlanError("e_detector needs false_alarms in (0, 1), an allowance of 0 or more, and a bet above 0")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, and images of the coordinator's own."""
        return Combiner("e_detector", View.EACH, asks_probe=True)

    def judge(self, case: Case) -> Judgement:
        """Measure and weigh; see `Screen.judge`.

        Raises:
            ValueError: there is no probe, which the checker refuses.
        """
        if case.probe is None:
            raise ValueError("e_detector needs images of the coordinator's own")
        lengths = [norm(update.tensors) for update in case.updates]
        most = median_of(lengths)
        updates = [clipped(update, length, most) for update, length in zip(case.updates, lengths, strict=True)]
        verdicts, memory = {}, dict(case.memory)
        for update, length in zip(updates, lengths, strict=True):
            harms = case.probe.harms(update.tensors)
            before = float(case.memory.get(update.site, np.zeros(())))
            now = min(max(before, 0.0) + self._log_evidence(harms), 2 * self._alarm)
            memory[update.site] = np.array(now, np.float64)
            verdicts[update.site] = self._verdict(now, harms, bounded(length, most))
        return Judgement(verdicts, updates, memory)

    @property
    def _alarm(self) -> float:
        return -math.log(self.false_alarms)

    def _log_evidence(self, harms: Mapping[str, Harm]) -> float:
        """Return the logarithm of this round's e-value; 0 where nothing could be measured."""
        if not harms:
            return 0.0
        far = np.array([(harm.size - self.allowance) / harm.deviation for harm in harms.values()])
        logs = np.minimum(self.bet * far - self.bet**2 / 2, _MOST)
        return float(np.log(np.mean(np.exp(logs - logs.max()))) + logs.max())

    def _verdict(self, now: float, harms: Mapping[str, Harm], length: Verdict) -> Verdict:
        worst = max(harms, key=lambda name: harms[name].size / harms[name].deviation, default="")
        evidence = {**length.evidence, "log evidence": now}
        if worst:
            evidence["worst harm"] = harms[worst].size
        if now < self._alarm:
            return Verdict(1.0, length.reason, evidence)
        does = f"this round it costs {harms[worst].size:.3f} of {worst}" if worst else "nothing could be measured"
        return Verdict(0.0, f"the evidence that it does harm is {math.exp(now):.3g} to 1; {does}", evidence)
