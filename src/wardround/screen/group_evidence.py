"""Tell the members of groups apart: whose groups stand out, round after round, though each round deals them anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import clipped, norm, robust_deviation
from wardround.core.update import Tensors, Update
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Verdict
from wardround.screen.clipping import bounded

_LENGTH_UNIT = 0.2
"""A group is one unit longer for each factor ``exp(0.2)`` of its mean's norm."""
_LOSS_FLOOR = 0.1
"""Least unit of a loss, as a share of the median loss."""
_TINY = 1e-12


@dataclass(frozen=True)
class GroupEvidence:
    """Weigh for each site how its groups stand out, and do not ask it for some rounds once that is no chance.

    Nobody sees an update of a site, only the mean of its group. In every round each site has two numbers: how long the
    mean of its group is, and the loss that it reports itself, both as units beyond the middle one. They become bets,

        f = exp(bet min(max(excess - allowance, 0), most)),      e = f / mean of f over the sites of the round

    and for each of the two the evidence against the site goes on as ``evidence <- max(evidence, 1) e``; what counts is
    the mean of both. e is 1 in the mean over the sites of a round, whatever their updates. Say a site is *no odder than
    the rest* if, given the past, its own e has a mean of at most 1: in a round dealt at random this holds of every
    honest site if honest ones are alike, since what poisons stands out in its own group each time. The rounds until the
    first false alarm at such a site are ``1 / false_alarms`` in the mean or more (Shin, Ramdas and Rinaldo 2024,
    arXiv:2203.03532, sections 2 and 3: an e-detector, and a mean of e-detectors is one).

    Means are shortened to the middle one of the round, of two the shorter, so that what is not noticed yet does little.

    A site with evidence of ``1 / false_alarms`` or more is not asked for `rest` rounds, after its next alarm for twice
    as many and so on, and begins at 1 again each time it comes back. Fewer than half of the sites rest at a time.

    Where sites are unlike, an honest one whose updates are long is odd, too: `allowance` is for that. Sites that
    conspire may poison only when they are dealt to one honest site's group, and so throw suspicion on it faster than on
    each of themselves. What poisons without being long or reporting a high loss is not seen.

    Attributes:
        false_alarms: for each site and round, in (0, 1).
        allowance: units beyond the middle that say nothing, 0 or more.
        bet: weight of one unit, > 0.
        most: units that count, > 0: the most that one round can say.
        rest: rounds, at least 1.
    """

    false_alarms: float = 0.001
    allowance: float = 2.0
    bet: float = 1.0
    most: float = 4.0
    rest: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1 or self.rest < 1:
            raise PlanError("group_evidence needs false_alarms in (0, 1) and rest >= 1")
        if not 0 <= self.allowance < math.inf or not 0 < self.bet < math.inf or not 0 < self.most * self.bet <= 100:
            raise PlanError("group_evidence needs an allowance of 0 or more, a bet and most above 0, most * bet <= 100")

    @property
    def combiner(self) -> Combiner:
        """It needs the means of groups that change, two of them at least."""
        return Combiner("group_evidence", View.EACH, least_updates=2, takes_groups=True, tells_members=True)

    def judge(self, case: Case) -> Judgement:
        """Weigh; see `Screen.judge`. What was sent in this round counts as it is."""
        norms = [norm(update.tensors) for update in case.updates]
        middle = sorted(norms)[(len(norms) - 1) // 2] if norms else 0.0
        logs = {
            place: {site: max(_kept(case, place, site), 0.0) + bet for site, bet in self._bets(excess).items()}
            for place, excess in (("length", _lengths(case, norms, middle)), ("loss", _losses(case)))
        }
        sites = sorted(logs["loss"])
        totals = {site: _mean_evidence([logs[place][site] for place in logs]) for site in sites}
        left = {site: value - 1 for site, value in _group(case.memory, "rest").items()}
        alarms = _group(case.memory, "alarms")
        for site in self._alarmed(totals, len(left)):
            alarms[site] = alarms.get(site, 0.0) + 1
            left[site] = self.rest * 2.0 ** (alarms[site] - 1)
            for place in logs:
                logs[place][site] = 0.0
        left = {site: rounds for site, rounds in left.items() if rounds > 0}
        members = {site: Verdict(evidence={"log evidence": totals[site]}) for site in sites}
        members |= {site: _resting(rounds, totals.get(site)) for site, rounds in left.items()}
        kept = {f"{place}/{site}": value for place in logs for site, value in logs[place].items()}
        kept |= {f"rest/{site}": value for site, value in left.items()}
        kept |= {f"alarms/{site}": value for site, value in alarms.items()}
        memory = {n: v for n, v in case.memory.items() if not n.startswith("rest/")}
        memory |= {name: np.array(value, np.float64) for name, value in kept.items()}
        verdicts = {update.site: bounded(length, middle) for update, length in zip(case.updates, norms, strict=True)}
        updates = [clipped(update, length, middle) for update, length in zip(case.updates, norms, strict=True)]
        return Judgement(verdicts, updates, memory, members)

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


def _members(update: Update) -> Mapping[str, Mapping[str, float]]:
    return update.members or {update.site: update.reported}


def _lengths(case: Case, norms: Sequence[float], middle: float) -> dict[str, float]:
    """Return site -> units by which the mean of its group is longer than the middle one."""
    units = [math.log(max(length, _TINY) / max(middle, _TINY)) / _LENGTH_UNIT for length in norms]
    return {site: value for update, value in zip(case.updates, units, strict=True) for site in _members(update)}


def _losses(case: Case) -> dict[str, float]:
    """Return site -> robust standard deviations by which the loss that it reports is above the median."""
    told = {site: said.get("loss", 0.0) for update in case.updates for site, said in _members(update).items()}
    values = np.array([told[site] for site in sorted(told)])
    middle = float(np.median(values)) if len(values) else 0.0
    unit = max(robust_deviation(values), _LOSS_FLOOR * abs(middle), _TINY)
    return dict(zip(sorted(told), ((values - middle) / unit).tolist(), strict=True))


def _resting(rounds: float, evidence: float | None) -> Verdict:
    if evidence is None:
        return Verdict(0.0, f"it is not asked for {rounds:.0f} more rounds", {"rounds of rest": rounds})
    reason = f"its groups stand out ({math.exp(evidence):.3g} to 1): it is not asked for the next {rounds:.0f} rounds"
    return Verdict(0.0, reason, {"log evidence": evidence, "rounds of rest": rounds})


def _mean_evidence(logs: list[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs) / len(logs))


def _kept(case: Case, place: str, site: str) -> float:
    return float(case.memory.get(f"{place}/{site}", np.zeros(())))


def _group(memory: Tensors, place: str) -> dict[str, float]:
    prefix = f"{place}/"
    return {name.removeprefix(prefix): float(value) for name, value in memory.items() if name.startswith(prefix)}
