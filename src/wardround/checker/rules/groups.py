"""Whether sums of groups hide what the plan says, and whether anybody may judge them."""

from __future__ import annotations

from collections.abc import Sequence

from wardround.checker.contract import View
from wardround.checker.mixture import Mixture
from wardround.checker.rule import Rule


def _unmasked(mixture: Mixture) -> Sequence[str]:
    return ["[groups] without masks"] if mixture.grouping and not mixture.hides(View.EACH) else []


def _encrypted(mixture: Mixture) -> Sequence[str]:
    if mixture.grouping is None:
        return []
    return [f"[groups] with {link.name}" for link in mixture.stages if View.SUM in link.contract.hides]


def _bisected(mixture: Mixture) -> Sequence[str]:
    bisects = mixture.masking is not None and mixture.masking.bisects
    return ["[groups] with bisect = true"] if mixture.grouping and bisects else []


def _unjudged(mixture: Mixture) -> Sequence[str]:
    judged = any(judge.needs is View.EACH for judge in mixture.judges)
    return ["[groups] without a screen"] if mixture.grouping and not judged else []


def _one(mixture: Mixture) -> Sequence[str]:
    size = mixture.cohort.size
    if mixture.grouping is None or size is None or mixture.grouping.count(size) > 1:
        return []
    return [f"groups size = {mixture.grouping.size}, and a round has {size} sites"]


def _never_told_apart(mixture: Mixture) -> Sequence[str]:
    if mixture.grouping is not None and mixture.grouping.regroups:
        return []
    groups = "with regroup = false" if mixture.grouping is not None else "without [groups]"
    return [f"{judge.name} {groups}" for judge in mixture.judges if judge.tells_members]


def _drawn_and_fixed(mixture: Mixture) -> Sequence[str]:
    if mixture.grouping is None or mixture.grouping.regroups or not mixture.cohort.sites_per_round:
        return []
    return ["regroup = false with sites_per_round"]


def _shared_noise(mixture: Mixture) -> Sequence[str]:
    if mixture.grouping is None:
        return []
    return [f"[groups] with {name}" for name, noise in mixture.noises if noise.covers is View.SUM]


GROUPS = (
    Rule(
        "groups-without-masks",
        "whoever adds the updates reads each of them anyway, so that groups would hide nothing",
        "add a masks stage, or leave [groups] out",
        _unmasked,
    ),
    Rule(
        "groups-encrypted",
        "the sites would open the sums and learn every other group's, and the coordinator could judge none",
        "remove the homomorphic stage, or [groups]",
        _encrypted,
    ),
    Rule(
        "groups-bisected",
        "the halves of a group are smaller than the plan says its sums are",
        "say bisect = false: a group whose sum is void is left out alone",
        _bisected,
    ),
    Rule(
        "groups-unjudged",
        "nobody looks at the sums, so that each site would hide among fewer for nothing",
        "add a screen or a robust aggregator, or leave [groups] out",
        _unjudged,
    ),
    Rule(
        "one-group",
        "there is no second group to compare it with",
        "lower the size, take more sites into a round, or leave [groups] out",
        _one,
    ),
    Rule(
        "changing-groups-needed",
        "it tells sites apart by the groups that they were in, which have to change from round to round",
        "add [groups] with regroup = true, or choose another screen",
        _never_told_apart,
    ),
    Rule(
        "fixed-groups-drawn",
        "who is drawn changes who is with whom, so that the groups would not stay as they are",
        "remove sites_per_round, or say regroup = true",
        _drawn_and_fixed,
    ),
    Rule(
        "noise-of-groups",
        "its noise is made for one sum of all sites, and the sum of a group would carry too little of it",
        "let each site add noise of its own, or leave [groups] out",
        _shared_noise,
    ),
)
