"""Tell the members of groups apart: whose groups stand out, round after round, though each round deals them anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import clipped, cosines, norm, products, robust_deviation
from wardround.core.update import Tensors, Update, in_group, of_group
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Verdict
from wardround.screen.clipping import bounded

_LENGTH_UNIT = 0.2
"""A mean is one unit longer for each factor ``exp(0.2)`` of its norm."""
_COSINE_FLOOR = 0.1
"""Least unit of a cosine."""
_LOSS_FLOOR = 0.1
"""Least unit of a loss, as a share of the median loss."""
_TINY = 1e-12


@dataclass(frozen=True)
class GroupEvidence:
    """Weigh for each site how its groups stand out, and do not ask it for some rounds once that is no chance.

    Nobody sees an update of a site, only the mean of its group. In every round each site has three numbers: how long
    the mean of its group is, how far it points away from those of the other groups, and the loss that the site itself
    reports; each as units beyond the middle one of the round. They become bets,

        f = exp(bet min(max(excess - allowance, 0), most)),      e = f / mean of f over the sites of the round

    and for each of the three the evidence against the site goes on as ``evidence <- max(evidence, 1) e``; what counts
    is the mean of the three. e is 1 in the mean over the sites of a round, whatever their updates. Say that a site is
    *no odder than the rest* if its own e, given the past, has a mean of at most 1: where groups are dealt at random and
    honest sites are alike, this holds of each of them, since what poisons stands out in its own group every time. The
    rounds until the first false alarm at such a site are ``1 / false_alarms`` in the mean or more (Shin, Ramdas and
    Rinaldo 2024, arXiv:2203.03532, sections 2 and 3: an e-detector, and a mean of e-detectors is one).

    A site with evidence of ``1 / false_alarms`` or more is not asked for `rest` rounds, after its next alarm for twice
    as many and so on, and begins at 1 again each time it comes back. Fewer than half of the sites rest at a time. For
    what is not noticed yet, means are shortened to the middle one of the round, of two the shorter; and a group whose
    mean is more than `longest` times that is left out of the round, with all its members.

    Where sites are unlike, an honest one whose updates are long, or its alone, is odd, too: `allowance` is for that.
    Sites that conspire may poison only while dealt to one honest site's group, and so throw suspicion on it faster than
    on each of themselves. With as many groups spoilt as not, nothing but length tells which is which.

    Attributes:
        false_alarms: for each site and round, in (0, 1).
        allowance: units beyond the middle that say nothing, 0 or more.
        bet: weight of one unit, > 0.
        most: units that count, > 0: the most that one round can say.
        rest: rounds, at least 1.
        longest: times the middle length, above 1.
    """

    false_alarms: float = 0.0025
    allowance: float = 2.0
    bet: float = 1.0
    most: float = 4.0
    rest: int = 4
    longest: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1 or self.rest < 1 or not 1 < self.longest < math.inf:
            raise PlanError("group_evidence needs false_alarms in (0, 1), rest >= 1 and longest above 1")
        if not 0 <= self.allowance < math.inf or not 0 < self.bet < math.inf or not 0 < self.most * self.bet <= 100:
            raise PlanError("group_evidence needs an allowance of 0 or more, a bet and most above 0, most * bet <= 100")

    @property
    def combiner(self) -> Combiner:
        """It needs the means of groups that change, two of them at least."""
        return Combiner("group_evidence", View.EACH, least_updates=2, takes_groups=True, tells_members=True)

    def judge(self, case: Case) -> Judgement:
        """Weigh; see `Screen.judge`."""
        norms = [norm(update.tensors) for update in case.updates]
        middle = sorted(norms)[(len(norms) - 1) // 2] if norms else 0.0
        excesses = {"length": _lengths(case, norms, middle), "way": _ways(case, norms), "loss": _losses(case)}
        logs = {kind: self._weighed(case, kind, excess) for kind, excess in excesses.items()}
        totals = {site: _log_mean([found[site] for found in logs.values()]) for site in sorted(excesses["loss"])}
        resting, alarms = self._rests(case.memory, totals)
        members = {site: Verdict(evidence={"log evidence": total}) for site, total in totals.items()}
        members |= {site: _resting(left, totals.get(site)) for site, left in resting.items()}
        memory = {name: value for name, value in case.memory.items() if not name.startswith("rest/")}
        for kind, found in logs.items():
            memory |= _in(kind, {site: 0.0 if site in resting else value for site, value in found.items()})
        memory |= _in("rest", resting) | _in("alarms", alarms)
        held = list(zip(case.updates, norms, strict=True))
        verdicts = {update.site: self._verdict(length, middle) for update, length in held}
        return Judgement(verdicts, [clipped(update, length, middle) for update, length in held], memory, members)

    def _weighed(self, case: Case, kind: str, excess: Mapping[str, float]) -> dict[str, float]:
        """Return site -> the logarithm of the evidence of one kind after this round."""
        return {site: max(_kept(case, kind, site), 0.0) + bet for site, bet in self._bets(excess).items()}

    def _rests(self, memory: Tensors, totals: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """Return site -> rounds that it rests from now on, for those that do, and site -> its alarms so far."""
        left = {site: rounds - 1 for site, rounds in _group(memory, "rest").items()}
        alarms = _group(memory, "alarms")
        for site in self._alarmed(totals, len(left)):
            alarms[site] = alarms.get(site, 0.0) + 1
            left[site] = self.rest * 2.0 ** (alarms[site] - 1)
        return {site: rounds for site, rounds in left.items() if rounds > 0}, alarms

    def _bets(self, excess: Mapping[str, float]) -> dict[str, float]:
        """Return site -> the logarithm of e."""
        beyond = np.clip(np.array(list(excess.values())) - self.allowance, 0.0, self.most) * self.bet
        middle = math.log(np.exp(beyond).mean()) if len(beyond) else 0.0
        return {site: value - middle for site, value in zip(excess, beyond.tolist(), strict=True)}

    def _alarmed(self, totals: Mapping[str, float], resting: int) -> list[str]:
        """Return the sites that are to rest from now on, those with the most evidence first."""
        over = sorted((s for s in totals if totals[s] >= -math.log(self.false_alarms)), key=lambda s: (-totals[s], s))
        most = (len(totals) + resting - 1) // 2
        return over[: max(0, most - resting)]

    def _verdict(self, length: float, middle: float) -> Verdict:
        if length <= self.longest * middle:
            return bounded(length, middle)
        reason = f"the mean of its group has norm {length:.4g}, and {self.longest * middle:.4g} is the most"
        return Verdict(0.0, reason, {"norm": length, "most": middle})


def _members(update: Update) -> Mapping[str, Mapping[str, float]]:
    return update.members or {update.site: update.reported}


def _of_members(case: Case, values: Sequence[float]) -> dict[str, float]:
    """Return each site -> the value of its group, in the order of their names."""
    pairs = ((site, value) for update, value in zip(case.updates, values, strict=True) for site in _members(update))
    return dict(sorted(pairs))


def _lengths(case: Case, norms: Sequence[float], middle: float) -> dict[str, float]:
    """Return site -> units by which the mean of its group is longer than the middle one."""
    logs = [math.log(max(length, _TINY) / max(middle, _TINY)) for length in norms]
    return _of_members(case, [value / _LENGTH_UNIT for value in logs])


def _ways(case: Case, norms: Sequence[float]) -> dict[str, float]:
    """Return site -> units by which its group's cosine with the sum of the others' directions is below the median."""
    if len(norms) < 3:
        return _of_members(case, [0.0] * len(norms))
    alike = cosines(products([update.tensors for update in case.updates]))
    along = alike.sum(axis=1) - np.diag(alike)
    others = alike.sum() - 2 * alike.sum(axis=1) + np.diag(alike)
    away = -along / np.sqrt(np.maximum(others, _TINY))
    return _of_members(case, _units(away, _COSINE_FLOOR).tolist())


def _losses(case: Case) -> dict[str, float]:
    """Return site -> units by which the loss that it reports is above the median."""
    told = dict(sorted((site, said.get("loss", 0.0)) for each in case.updates for site, said in _members(each).items()))
    values = np.array(list(told.values()))
    floor = _LOSS_FLOOR * abs(float(np.median(values))) if told else 0.0
    return dict(zip(told, _units(values, floor).tolist(), strict=True))


def _units(values: np.ndarray, floor: float) -> np.ndarray:
    """Return robust standard deviations, but no less than `floor`, from the median."""
    if not len(values):
        return values
    return np.asarray((values - np.median(values)) / max(robust_deviation(values), floor, _TINY))


def _resting(left: float, evidence: float | None) -> Verdict:
    said = {"rounds of rest": left}
    if evidence is None:
        return Verdict(0.0, f"it is not asked for {left:.0f} more rounds", said)
    reason = f"its groups stand out, {math.exp(evidence):.3g} to 1: it is not asked in the next {left:.0f} rounds"
    return Verdict(0.0, reason, {"log evidence": evidence, **said})


def _log_mean(logs: Sequence[float]) -> float:
    """Return the logarithm of the mean of what has these logarithms."""
    return float(np.logaddexp.reduce(logs)) - math.log(len(logs))


def _kept(case: Case, kind: str, site: str) -> float:
    return float(case.memory.get(f"{kind}/{site}", np.zeros(())))


def _group(memory: Tensors, kind: str) -> dict[str, float]:
    return {site: float(value) for site, value in of_group(memory, kind).items()}


def _in(kind: str, values: Mapping[str, float]) -> dict[str, np.ndarray]:
    return in_group({site: np.array(value, np.float64) for site, value in values.items()}, kind)
