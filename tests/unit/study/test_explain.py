"""What ``wardround check`` says of who sees what."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tiny

from wardround.checker import RULES
from wardround.errors import PlanError
from wardround.rounds.groups import Exposure, Groups
from wardround.study.coverage import not_covered
from wardround.study.explain import explain, refuse
from wardround.study.spec import parse


@pytest.mark.parametrize(
    ("settings", "said", "unsaid"),
    [
        ({}, ["each site's update, in the clear", "probabilities, labels"], ["confusion matrix"]),
        ({"evaluation": {"share": "metrics"}}, ["metrics and a confusion matrix"], ["probabilities"]),
        ({"data": {"source": "manifest"}}, ["metrics and a confusion matrix"], ["probabilities"]),
        ({"data": {"source": "manifest"}, "evaluation": {"share": "predictions"}}, ["probabilities"], []),
        ({"algorithm": {"name": "central"}}, ["not a federation", "every image"], ["other sites"]),
        ({"algorithm": {"name": "local"}}, ["no weights: they all stay"], ["each site's update", "broadcast model"]),
        ({"sites_per_round": 2, "quorum": 2}, ["each with 2 sites drawn anew; 2 must answer"], []),
        ({"protect": tiny.PIPELINES["quantised"]}, ["in the clear", "opened by the coordinator"], ["both together"]),
        (
            {"protect": tiny.PIPELINES["masked"]},
            ["the sum of the updates and the model; no single update", "2t - n - 1", "3.00 bytes per float"],
            ["in the clear", "bits of security"],
        ),
        (
            {"protect": tiny.PIPELINES["packed"]},
            ["single site's ciphertext", "follows the protocol", "3.51 bytes per float", "192 against quantum"],
            ["in the clear", "both together"],
        ),
        (
            {"protect": tiny.PIPELINES["packed and masked"]},
            ["nothing of any update, and not the model", "opened by the sites", "2t - n - 1"],
            ["in the clear", "follows the protocol"],
        ),
        ({"protect": tiny.PIPELINES["ckks"]}, ["scheme = ckks", "N = 8192"], ["in the clear"]),
        (
            {"protect": tiny.COMPRESSED["topk and int8"], "aggregator": {"name": "median"}},
            [
                "coordinates that each site chooses",
                "one byte each",
                "added to the site's next update",
                "judged by median",
            ],
            ["bytes per float", "spoil the mean"],
        ),
        (
            {"protect": [{"stage": "randomk", "feedback": False}], "screen": [{"name": "norms"}]},
            ["coordinates that the seed chooses", "is dropped", "norms (times = 3.0) -> mean", "judged by norms"],
            ["one byte"],
        ),
        ({}, ["one site can spoil the mean\n", "epsilon, delta) covers nothing"], ["beyond its clip"]),
        ({"protect": tiny.PIPELINES["clipped"]}, ["spoil the mean beyond its clip"], ["travels"]),
        ({"protect": tiny.PIPELINES["masked"]}, ["no update can be judged by itself", "voids the round"], ["spoil"]),
        ({"protect": tiny.PIPELINES["quantised"]}, ["summed unread"], ["no single update is read"]),
        ({"algorithm": {"name": "local"}}, ["nothing to read and nothing to spoil"], ["instead"]),
    ],
)
def test_who_sees_what(settings: dict[str, Any], said: list[str], unsaid: list[str]) -> None:
    text = explain(tiny.plan(**settings))
    assert text.startswith("plan      tiny, digest ")
    for words in said:
        assert words in text
    for words in unsaid:
        assert words not in text


def grouped(sites: int = 8, rounds: int = 16, regroup: bool = True) -> str:
    by: dict[str, Any] = {"data": {"source": "slide", "sites": {"by": "iid", "sites": sites}}} if sites else {}
    masks = [tiny.CLIP, tiny.QUANTISE, {"stage": "masks"}]
    screen = [{"name": "group_evidence" if regroup else "norms"}]
    return explain(tiny.plan(rounds=rounds, protect=masks, screen=screen, groups={"size": 2, "regroup": regroup}, **by))


def test_groups_and_what_many_of_their_sums_give_away_are_told() -> None:
    told, exposed = grouped(), Exposure.of(Groups(2), 1, [str(place) for place in range(8)], 16)
    assert "the sum of each group of 2 sites or more, and the model; no single update" in told
    assert "the sum of the updates and the model" not in told
    assert "of a group of two, one on the coordinator's side gives the other's update away" in told
    assert "the mean of each group is judged by group_evidence" in told
    assert f"from round {exposed.solved_after} on, and in the end as well as from {exposed.worth:.1f} of its" in told
    assert "(8 sites, none lost)" in told
    assert "(8 sites, say, and none lost)" in grouped(sites=0)
    assert "2 rounds are not enough" in grouped(rounds=2)
    fixed = grouped(regroup=False)
    assert "tells two" in fixed
    assert "from round" not in fixed


def test_it_says_how_many_rules_were_checked() -> None:
    assert explain(tiny.plan()).endswith(f"{len(RULES)} rules were checked, and the plan breaks none.")


def test_every_rule_that_a_plan_breaks_is_cited() -> None:
    refuse(tiny.plan())
    broken = tiny.plan(protect=[tiny.TOPK, tiny.QUANTISE, tiny.MASKS], aggregator={"name": "median"})
    with pytest.raises(PlanError) as refused:
        refuse(broken)
    assert re.findall(r"\(rule ([a-z-]+)\)", str(refused.value)) == ["each-behind-hides", "own-coordinates-summed"]
    assert refused.value.rule == "each-behind-hides"


def test_votes_and_what_they_tell_are_said() -> None:
    said = explain(tiny.plan(algorithm={"name": "fedgma"}))
    assert "beside each number of an update its sign, to be counted" in said
    assert "votes     " not in explain(tiny.plan())
    assert "votes on weights" in not_covered(tiny.plan(algorithm={"name": "and_mask"}))
    assert "the mean training loss, to the sites" in not_covered(tiny.plan(algorithm={"name": "vrex"}))
    assert not {"votes on weights", "the mean training loss, to the sites"} & set(not_covered(tiny.plan()))


@pytest.mark.parametrize("share", ["predictions", "metrics"])
def test_sums_over_test_images_are_said_where_they_leave(share: str) -> None:
    plan = tiny.plan(evaluation={"share": share})
    assert ("sums over test images" in explain(plan)) is (share == "predictions")
    assert ("looks of test images" in not_covered(plan)) is (share == "predictions")


CUT: dict[str, Any] = {"task": {"name": "segmentation"}, "model": {"name": "unet"}, "split": {}}


@pytest.mark.parametrize(
    ("settings", "said", "unsaid"),
    [
        (
            {"algorithm": {"name": "splitfed_v1"}},
            ["a body for each site, averaged", "body host     every batch's activations", "should it learn the head"],
            ["coordinator, too", "next site"],
        ),
        (
            {"algorithm": {"name": "interleaved"}, "split": {"body_host": "coordinator", "noise_sd": 0.5}},
            ["one body", "one party with what both see", "it knows the heads", "noise of 0.5 standard deviations"],
            ["should it learn"],
        ),
        (
            {
                "algorithm": {"name": "interleaved"},
                "split": {"body_host": "coordinator"},
                "protect": tiny.PIPELINES["packed and masked"],
            },
            ["one party with what both see", "nothing of any update"],
            ["it knows the heads"],
        ),
        ({"algorithm": {"name": "split_learning"}}, ["next site     the head and the tail"], []),
        ({"algorithm": {"name": "splitfed_v3"}}, ["no weights: they all stay"], ["each site's update, in the clear"]),
    ],
)
def test_a_cut_is_told_with_who_sees_what(settings: dict[str, Any], said: list[str], unsaid: list[str]) -> None:
    page = explain(parse({"name": "cut", **CUT, **settings}))
    for words in said:
        assert words in page
    for words in unsaid:
        assert words not in page
