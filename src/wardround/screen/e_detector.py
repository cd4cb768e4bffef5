"""Measure every update again on images of the coordinator's own, and weigh the evidence of all rounds so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import clipped, norm
from wardround.errors import PlanError
from wardround.screen.base import Case, Harm, Judgement, Verdict
from wardround.screen.clipping import bounded, median_of
from wardround.screen.evidence import CEILING, alarm, is_left_out, weighed

_OUT = "out"
"""Beside a site's abilities in the memory: whether it was left out."""


@dataclass(frozen=True)
class EDetector:
    """Leave a site out while the evidence that it does harm is strong; what sites report is not believed.

    Updates are shortened to the median norm of the round, so that none gains by being long. Each is then tried on the
    model: the coordinator measures on its own images what it does to each ability of the model (`Harm`). What the state
    of the model does to all sites alike is taken off: the harm of the median site. For every site and ability, an
    excess beyond `allowance` multiplies the evidence, a smaller one divides it:

        excess = harm - median harm of the round's sites
        z = (excess - allowance) / sqrt(deviation^2 + fluctuation^2)
        evidence <- max(evidence, 1) exp(bet z - bet^2 / 2)

    A site is left out once the mean of its evidence over the abilities is ``1 / false_alarms`` or more, until it is 1
    or less: without its poison the others have nothing to make good, and its excess is smaller while it is out. If the
    excess of an honest site has a mean of at most `allowance`, given all rounds before, and tails no heavier than
    normal ones of that deviation, the rounds until its first false alarm are ``1 / false_alarms`` in the mean or more:
    an e-detector of the CUSUM kind, and a mean of e-detectors is one, however they depend on each other (Shin, Ramdas
    and Rinaldo 2024, arXiv:2203.03532, sections 2 and 3). Fewer than half of the sites may attack; how many is not
    asked. A site that was accused wrongly comes back as its evidence falls; so that this takes rounds and not ages, its
    logarithm has a ceiling.

    What does no harm on the coordinator's images, such as a trigger that they do not bear, is not seen.

    Attributes:
        false_alarms: for each site and round, in (0, 1).
        allowance: excess of an honest site in the mean, in the unit of the harms (for a classifier, see
            `pairwise_harms`): unlike hospitals need more.
        fluctuation: standard deviation of an honest site's excess from round to round, beyond what follows from the
            number of the coordinator's images; > 0.
        bet: weight of one deviation, > 0; smaller ones are slower and surer.
    """

    false_alarms: float = 0.001
    allowance: float = 1.2
    fluctuation: float = 0.5
    bet: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1 or not 0 < self.bet < math.inf:
            raise PlanError("e_detector needs false_alarms in (0, 1) and a bet above 0")
        if not 0 <= self.allowance < math.inf or not 0 < self.fluctuation < math.inf:
            raise PlanError("e_detector needs an allowance of 0 or more and a fluctuation above 0")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, of three sites at least, and images of the coordinator's own."""
        return Combiner("e_detector", View.EACH, least_updates=3, asks_probe=True)

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
        measured = [case.probe.harms(update.tensors) for update in updates]
        verdicts, memory = {}, dict(case.memory)
        for update, length, harms in zip(updates, lengths, _excess(measured), strict=True):
            logs = {name: self._weighed(update.site, name, harm, case, len(harms)) for name, harm in harms.items()}
            memory |= {_key(update.site, name): np.array(value, np.float64) for name, value in logs.items()}
            total = _mean_evidence(logs)
            was_out = float(case.memory.get(_key(update.site, _OUT), np.zeros(()))) > 0
            out = is_left_out(total, was_out, self.false_alarms)
            memory[_key(update.site, _OUT)] = np.array(float(out), np.float64)
            verdicts[update.site] = self._verdict(total, out, logs, harms, bounded(length, most))
        return Judgement(verdicts, updates, memory)

    def _weighed(self, site: str, ability: str, harm: Harm, case: Case, abilities: int) -> float:
        """Return the logarithm of the evidence against a site, for one ability, after this round."""
        before = float(case.memory.get(_key(site, ability), np.zeros(())))
        far = (harm.size - self.allowance) / math.hypot(harm.deviation, self.fluctuation)
        return min(weighed(before, far, self.bet), CEILING * alarm(self.false_alarms) + math.log(abilities))

    def _verdict(
        self, total: float, out: bool, logs: Mapping[str, float], harms: Mapping[str, Harm], length: Verdict
    ) -> Verdict:
        worst = max(logs, key=lambda name: logs[name], default="")
        if not worst:
            return length
        evidence = {**length.evidence, "log evidence": total, "worst excess": harms[worst].size}
        if not out:
            return Verdict(1.0, length.reason, evidence)
        reason = (
            f"the evidence that it spoils {worst} is {math.exp(total):.3g} to 1 (excess now {harms[worst].size:.3f})"
        )
        return Verdict(0.0, reason, evidence)


def _mean_evidence(logs: Mapping[str, float]) -> float:
    """Return the logarithm of the mean of the evidence; 0 where there is none."""
    top = max(logs.values(), default=0.0)
    return top + math.log(sum(math.exp(value - top) for value in logs.values()) / len(logs)) if logs else 0.0


def _excess(measured: Sequence[Mapping[str, Harm]]) -> list[dict[str, Harm]]:
    """Return the harms of each site less those of the median site."""
    names = measured[0] if measured else ()
    middle = {name: float(np.median([harms[name].size for harms in measured])) for name in names}
    return [{n: Harm(harm.size - middle[n], harm.deviation) for n, harm in harms.items()} for harms in measured]


def _key(site: str, ability: str) -> str:
    return f"{site}/{ability}"
