"""What each rule about groups prevents; every test first sees the rule refuse the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grouped_sites
import numpy as np
import pytest
import tiny
from grouped_sites import MASKED, NAMES

from wardround.core.codec import decode
from wardround.errors import PlanError
from wardround.rounds.groups import Groups

Lift = Callable[..., None]
EVIDENCE = [{"name": "group_evidence"}]


def test_groups_without_masks(tmp_path: Path, lift: Lift) -> None:
    """The sums of groups are formed, and each update went over the wire as it is."""
    plan = grouped_sites.plan(rounds=1, protect=[])
    lift("groups-without-masks", plan)
    _, _, made = grouped_sites.run(plan, tmp_path)
    sent = {site: decode(frame).tensors for op, site, frame in made.wire if op == "train" and site != "coordinator"}
    bare = grouped_sites.bare(tmp_path / "bare")
    for site in NAMES:
        for name, value in bare[site].items():
            np.testing.assert_array_equal(sent[site][name], value)


def test_groups_encrypted(tmp_path: Path, lift: Lift) -> None:
    """The coordinator has no sum to give to a screen: groups are opened, and nobody judges them."""
    plan = grouped_sites.plan(rounds=1, protect=[*MASKED, tiny.PACKED])
    lift("groups-encrypted", plan)
    _, journal, made = grouped_sites.run(plan, tmp_path)
    assert journal.records[0].judged == {}
    # And every site was sent every group's sum, which it has the key to.
    asked = [sites for op, sites, _ in made.asked if op == "unseal"]
    assert len(asked) >= 3
    assert all(sites == NAMES for sites in asked)


def test_groups_bisected(tmp_path: Path, lift: Lift) -> None:
    """A site would let itself be summed in a half of its group, if a coordinator said that the whole sum was void."""
    masks = {"stage": "masks", "bisect": True, "threshold": 6}
    plan = grouped_sites.plan(groups={"size": 6}, protect=[*MASKED[:2], masks])
    lift("groups-bisected", plan)
    stage = plan.pipeline.masks
    assert stage
    assert stage.bisect


def test_groups_unjudged(tmp_path: Path, lift: Lift) -> None:
    """The model is that of one sum over all; what was gained for it is nothing."""
    unjudged = grouped_sites.plan(rounds=1, screen=[])
    lift("groups-unjudged", unjudged)
    grouped, journal, _ = grouped_sites.run(unjudged, tmp_path / "groups")
    whole, _, _ = grouped_sites.run(tiny.plan(rounds=1, protect=MASKED), tmp_path / "whole")
    assert max(map(len, journal.records[0].groups)) == 2
    for name, value in whole.weights.items():
        np.testing.assert_allclose(grouped.weights[name], value, atol=1e-6)


def test_one_group(tmp_path: Path, lift: Lift) -> None:
    """A median of one."""
    plan = grouped_sites.plan(rounds=1, groups={"size": 4}, aggregator={"name": "median"}, screen=[])
    lift("one-group", plan, len(NAMES))
    median, journal, _ = grouped_sites.run(plan, tmp_path / "median")
    mean, _, _ = grouped_sites.run(tiny.plan(rounds=1, protect=MASKED, aggregator=tiny.UNIFORM), tmp_path / "mean")
    assert journal.records[0].groups == (NAMES,)
    for name, value in mean.weights.items():
        np.testing.assert_allclose(median.weights[name], value, atol=1e-6)


@pytest.mark.parametrize("groups", [{"size": 2, "regroup": False}, None])
def test_changing_groups_needed(tmp_path: Path, lift: Lift, groups: dict[str, object] | None) -> None:
    """Of two that are always together the screen says the same for ever."""
    changes = {"groups": groups} if groups else {"protect": []}
    plan = grouped_sites.plan(rounds=3, screen=EVIDENCE, **changes)
    plan = plan if groups else replace(plan, groups=None)
    lift("changing-groups-needed", plan)
    if groups is None:
        return
    _, journal, _ = grouped_sites.run(plan, tmp_path)
    assert len({record.groups for record in journal.records}) == 1
    lengths = [
        {journal.state[f"screen/0/length/{site}"].item() for site in group}  # type: ignore[index]
        for group in journal.records[-1].groups
    ]
    assert all(len(values) == 1 for values in lengths)


def test_fixed_groups_drawn(lift: Lift) -> None:
    """They would not be fixed: who is with whom changes with who is drawn."""
    plan = grouped_sites.plan(groups={"size": 2, "regroup": False}, sites_per_round=4)
    lift("fixed-groups-drawn", plan)
    drawn = [tuple(sorted(np.random.default_rng(seed).choice(NAMES, 4, replace=False).tolist())) for seed in range(8)]
    groups = plan.groups
    assert groups
    with_alba = {groups.of(replace(tiny.context(), cohort=cohort), "alba") for cohort in drawn if "alba" in cohort}
    assert len(with_alba) > 1


def test_noise_of_groups(lift: Lift) -> None:
    """Shares of noise that are enough together are made for the masks' threshold, which counts a sum's sites."""
    private = tiny.private("shares under masks", screen=[{"name": "norms"}])
    plan = replace(private, groups=Groups(2))
    lift("noise-of-groups", plan)
    # By the coordinator, behind masks: it would add it once to the sum of all, having seen every group's without.
    central = replace(plan, pipeline=tiny.private("the coordinator's, quantised").pipeline)
    assert any(noise.by_opener for _, noise in central.mixture().noises)


def test_a_group_may_not_be_smaller_than_the_masks_ask() -> None:
    masks = {"stage": "masks", "least_sites": 3}
    with pytest.raises(PlanError, match="least_sites = 3, but a group may have 2 sites") as refused:
        grouped_sites.plan(protect=[*MASKED[:2], masks]).check()
    assert refused.value.rule == "least-sites-beyond-cohort"


def test_a_threshold_is_of_a_group() -> None:
    plan = grouped_sites.plan(protect=[*MASKED[:2], {"stage": "masks", "threshold": 4}])
    with pytest.raises(PlanError, match="a mask threshold of 4 among 2 sites"):
        plan.check()
    grouped_sites.plan(protect=[*MASKED[:2], {"stage": "masks", "threshold": 2}]).check(len(NAMES))


def test_a_threshold_is_of_every_group_that_may_be() -> None:
    """Nine sites make threes; once one of them rests, the others make fours, of which two are no majority."""
    plan = grouped_sites.plan(groups={"size": 3}, protect=[*MASKED[:2], {"stage": "masks", "threshold": 2}])
    with pytest.raises(PlanError, match="a mask threshold of 2 among 5 sites") as refused:
        plan.check(9)
    assert refused.value.rule == "mask-threshold"
    grouped_sites.plan(groups={"size": 3}, protect=[*MASKED[:2], {"stage": "masks", "threshold": 3}]).check(9)


def test_a_quorum_leaves_room_for_those_that_rest() -> None:
    """With all of eight a run would end with the first alarm, and end again however often it is resumed."""
    with pytest.raises(PlanError, match="quorum = 6 can never be met by 8 sites while others rest") as refused:
        grouped_sites.plan(screen=EVIDENCE, quorum=6).check(8)
    assert refused.value.rule == "quorum-beyond-cohort"
    grouped_sites.plan(screen=EVIDENCE, quorum=5).check(8)
    grouped_sites.plan(quorum=6).check(8)


def test_judges_count_groups() -> None:
    plan = grouped_sites.plan(aggregator={"name": "trimmed_mean", "trim": 2}, screen=[])
    with pytest.raises(PlanError, match="trimmed_mean needs 5 groups, and a round has 3"):
        plan.check(len(NAMES))
    plan.check(10)


@pytest.mark.parametrize("name", ["feddetect", "calibrated_feddetect", "foolsgold"])
def test_what_remembers_sites_by_name_judges_no_groups(name: str) -> None:
    with pytest.raises(PlanError) as refused:
        grouped_sites.plan(screen=[{"name": name}]).check()
    assert refused.value.rule == "each-behind-hides"


def test_noise_that_each_site_adds_goes_with_groups() -> None:
    """Each update carries all of its own noise: whatever is made of it is covered."""
    claim = {"unit": "site", "delta": 1e-3, "noise_multiplier": 2.0, "randomness": "seed"}
    protect = [tiny.CLIP, {"stage": "noise"}, *MASKED[1:]]
    grouped_sites.plan(protect=protect, privacy=claim, aggregator=tiny.UNIFORM).check(len(NAMES))
