"""Measure every update again on images of the coordinator's own, and weigh the evidence of all rounds so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import robust_deviation
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.screen.base import Case, Harm, Judgement, Verdict
from wardround.screen.clipping import shortened
from wardround.screen.evidence import CEILING, alarm, is_left_out, weighed

_OUT = "out"
"""Beside a site's abilities in the memory: whether it was left out."""
_EVIDENCE, _SUM, _ROUNDS = range(3)
"""Places in what is kept of a site's ability."""
_NOTHING = np.zeros(3)
_FIRST_ROUNDS = 3
"""Rounds that the first guess, lasting differences of spread 1, counts for."""


@dataclass(frozen=True)
class EDetector:
    """Leave a site out while the evidence that it does harm is strong; what sites report is not believed.

    Updates are shortened to the median norm of the round, so that none gains by being long. Each is then tried on the
    model: the coordinator measures on its own images what it does to each ability of the model (`Harm`). What the state
    of the model does to all sites alike is taken off, the harm of the median site, and what is left is measured in the
    spread of the round's sites. For every site and ability, what is beyond an allowance multiplies the evidence, what
    is below divides it:

        excess = harm - median harm of the round's sites
        z = excess / sqrt(spread^2 + deviation^2 + fluctuation^2), within most
        evidence <- max(evidence, 1) exp(bet (z - allowance - unlike lasting) - bet^2 / 2)

    Spreads are 1.4826 times the median absolute difference to the median site: ``spread`` that of this round's harms,
    ``lasting`` that of the sites' mean z over the rounds before, with three rounds of spread 1 to begin with. Among
    hospitals that differ lastingly, who cost the model a class in every round because they have none of it, it takes
    more to stand out; among equal ones differences average out, and a little that lasts is seen.

    A site is left out once the mean of its evidence over the abilities is ``1 / false_alarms`` or more, until it is 1
    or less: without its poison the others have nothing to make good, and its excess is smaller while it is out. If the
    z of an honest site has a mean of at most the allowance, given all rounds before, and tails no heavier than those of
    a standard normal number, the rounds until its first false alarm are ``1 / false_alarms`` in the mean or more:
    an e-detector of the CUSUM kind, and a mean of e-detectors is one, however they depend on each other (Shin, Ramdas
    and Rinaldo 2024, arXiv:2203.03532, sections 2 and 3). Fewer than half of the sites may attack; how many is not
    asked. A site that was accused wrongly comes back as its evidence falls; so that this takes rounds and not ages, its
    logarithm has a ceiling.

    What does no harm on the coordinator's images, such as a trigger that they do not bear, is not seen.

    Attributes:
        false_alarms: for each site and round, in (0, 1).
        allowance: z of an honest site in the mean, among equal hospitals.
        unlike: what is allowed beyond that, in spreads of the lasting differences; 0 or more.
        fluctuation: least standard deviation of an excess, in the unit of the harms (for a classifier, nats of a
            class's loss); > 0.
        bet: weight of one deviation, > 0; smaller ones are slower and surer.
        most: largest size of z, above `allowance`: no round counts for more.
    """

    false_alarms: float = 0.001
    allowance: float = 2.0
    unlike: float = 3.0
    fluctuation: float = 0.02
    bet: float = 0.75
    most: float = 8.0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1 or not 0 < self.bet < math.inf:
            raise PlanError("e_detector needs false_alarms in (0, 1) and a bet above 0")
        if not 0 <= self.allowance < self.most < math.inf or not 0 < self.fluctuation < math.inf:
            raise PlanError("e_detector needs an allowance of 0 or more, most above it and a fluctuation above 0")
        if not 0 <= self.unlike < math.inf:
            raise PlanError("e_detector needs unlike = 0 or more")

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
        clips, updates = shortened(case.updates)
        measured = [case.probe.harms(update.tensors) for update in updates]
        verdicts, memory = {}, dict(case.memory)
        allowed = self._allowances(case, measured)
        ceiling = CEILING * alarm(self.false_alarms) + math.log(max(1, len(allowed)))
        for site, far in zip(case.sites, self._standardised(measured), strict=True):
            kept = {
                name: self._weighed(case.memory.get(_key(site, name), _NOTHING), z, allowed[name], ceiling)
                for name, z in far.items()
            }
            total = _mean_evidence([float(value[_EVIDENCE]) for value in kept.values()])
            was_out = bool(case.memory.get(_key(site, _OUT), np.zeros(())))
            out = is_left_out(total, was_out, self.false_alarms)
            memory |= {_key(site, name): value for name, value in kept.items()}
            memory[_key(site, _OUT)] = np.array(float(out), np.float64)
            verdicts[site] = self._verdict(total, out, kept, far, clips[site])
        return Judgement(verdicts, updates, memory)

    def _standardised(self, measured: Sequence[Mapping[str, Harm]]) -> list[dict[str, float]]:
        """Return z of each ability, site by site."""
        found: list[dict[str, float]] = [{} for _ in measured]
        for name in measured[0] if measured else ():
            sizes = np.array([harms[name].size for harms in measured])
            excess, spread = sizes - np.median(sizes), robust_deviation(sizes)
            for mine, value, harms in zip(found, excess, measured, strict=True):
                z = value / math.hypot(spread, harms[name].deviation, self.fluctuation)
                mine[name] = max(-self.most, min(z, self.most))
        return found

    def _allowances(self, case: Case, measured: Sequence[Mapping[str, Harm]]) -> dict[str, float]:
        """Return what each ability's z may be in the mean, by what sites differed in the rounds before."""
        found = {}
        for name in measured[0] if measured else ():
            known = [case.memory.get(_key(site, name), _NOTHING) for site in case.sites]
            rounds = np.array([value[_ROUNDS] for value in known])
            means = np.array([value[_SUM] for value in known]) / np.maximum(rounds, 1)
            heard = float(np.median(rounds))
            lasting = (_FIRST_ROUNDS + heard * robust_deviation(means)) / (_FIRST_ROUNDS + heard)
            found[name] = self.allowance + self.unlike * lasting
        return found

    def _weighed(self, before: np.ndarray, z: float, allowed: float, ceiling: float) -> np.ndarray:
        """Return what is kept of a site's ability after this round: log evidence, sum of z, rounds."""
        after = weighed(before[_EVIDENCE], z - allowed, self.bet)
        return np.array([min(after, ceiling), before[_SUM] + z, before[_ROUNDS] + 1], np.float64)

    def _verdict(self, total: float, out: bool, kept: Tensors, far: Mapping[str, float], length: Verdict) -> Verdict:
        worst = max(kept, key=lambda name: float(kept[name][_EVIDENCE]), default="")
        if not worst:
            return length
        evidence = {**length.evidence, "log evidence": total, "worst excess": far[worst]}
        if not out:
            return Verdict(1.0, length.reason, evidence)
        reason = (
            f"the evidence that it spoils {worst} is {math.exp(total):.3g} to 1 (excess now {far[worst]:.1f} spreads)"
        )
        return Verdict(0.0, reason, evidence)


def _mean_evidence(logs: Sequence[float]) -> float:
    """Return the logarithm of the mean of the evidence; 0 where there is none."""
    top = max(logs, default=0.0)
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(logs)) if logs else 0.0


def _key(site: str, ability: str) -> str:
    return f"{site}/{ability}"
