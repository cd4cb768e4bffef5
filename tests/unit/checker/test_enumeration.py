"""The checker over every mixture of up to three stages, against a grammar that knows no rule."""

from __future__ import annotations

from dataclasses import replace

import mixtures
import pytest

from wardround.aggregate import AGGREGATORS, Aggregator, Mean, Median
from wardround.checker import RULES, View, Weights, refusals
from wardround.protect.pipeline import STAGES
from wardround.screen import SCREENS, Screen

MOST_STAGES = 3


def accepted(most: int) -> tuple[set[tuple[str, str, str]], set[str]]:
    """Check every mixture; return those that are accepted, and every rule that refused one."""
    found, cited = set(), set()
    for word in mixtures.words(most):
        for aggregator, screen in mixtures.JUDGES:
            refused = refusals(mixtures.mixture_of(word, aggregator, screen))
            cited |= {refusal.rule.name for refusal in refused}
            if not refused:
                found.add((word, aggregator, screen))
    return found, cited


def test_what_is_accepted_is_what_is_sound() -> None:
    found, cited = accepted(MOST_STAGES)
    assert found == mixtures.sound(MOST_STAGES)
    assert cited <= RULES.keys()
    assert len(found) > 300
    assert {"integers-needed", "own-coordinates-summed", "each-behind-hides", "growth-after-bound"} <= cited


def test_in_groups_what_is_accepted_is_what_is_sound() -> None:
    found, cited = set(), set()
    for word in mixtures.words(MOST_STAGES):
        for aggregator, screen in mixtures.JUDGES:
            refused = refusals(mixtures.mixture_of(word, aggregator, screen, grouped=True))
            cited |= {refusal.rule.name for refusal in refused}
            if not refused:
                found.add((word, aggregator, screen))
    assert found == mixtures.sound_in_groups(MOST_STAGES)
    assert {word for word, _, _ in found} == {"qm", "cqm", "sqm", "uqm"}
    assert {"groups-without-masks", "groups-encrypted", "groups-unjudged", "noise-of-groups"} <= cited


def test_every_registered_stage_and_judge_takes_part() -> None:
    lettered = {stage.contract for stage in mixtures.STAGES.values()}
    assert len(lettered) == len(mixtures.STAGES), "no two letters have one contract"
    assert {stage.contract for stage in mixtures.ALIKE} <= lettered
    assert {type(stage) for stage in (*mixtures.STAGES.values(), *mixtures.ALIKE)} == set(STAGES.values())
    aggregators = [*mixtures.AGGREGATORS.values(), *mixtures.ALIKE_AGGREGATORS]
    screens = [one for several in mixtures.SCREENS.values() for one in several] + [*mixtures.ALIKE_SCREENS]
    assert {type(one) for one in aggregators} == set(AGGREGATORS.values())
    assert {type(one) for one in screens} == set(SCREENS.values())
    for alike in (*mixtures.ALIKE_AGGREGATORS, *mixtures.ALIKE_SCREENS):
        assert alike.combiner.needs is View.EACH
        assert alike.combiner.weights is Weights.PUBLIC


@pytest.mark.parametrize("judge", [*mixtures.ALIKE_AGGREGATORS, *mixtures.ALIKE_SCREENS])
def test_none_that_needs_each_update_goes_behind_masks_or_encryption(judge: Aggregator | Screen) -> None:
    """By the rule that says why, and by no other than those that ask for more than a view."""
    is_screen = hasattr(judge, "judge")
    aggregator = Median().combiner if is_screen and not judge.combiner.gives_trust else Mean("uniform").combiner
    for word, rule in (("qm", "each-behind-hides"), ("qp", "each-behind-hides"), ("q", "each-of-frames")):
        mixture = replace(
            mixtures.mixture_of(word, "uniform mean", "no screen"),
            aggregator=Mean("uniform").combiner if is_screen else judge.combiner,
            screens=(judge.combiner,) if is_screen else (),
            probes=judge.combiner.asks_probe,
        )
        if judge.combiner.tells_members:  # there is nothing for it to tell apart, whoever sees what
            assert {refusal.rule.name for refusal in refusals(mixture)} == {rule, "changing-groups-needed"}
            continue
        assert [refusal.rule.name for refusal in refusals(mixture)] == [rule]
        clear = replace(mixture, stages=(), masking=None, aggregator=aggregator if is_screen else judge.combiner)
        assert not refusals(clear)


@pytest.mark.parametrize("judge", [*mixtures.ALIKE_AGGREGATORS, *mixtures.ALIKE_SCREENS])
def test_in_groups_it_goes_behind_masks_if_it_keeps_nothing_by_name(judge: Aggregator | Screen) -> None:
    is_screen = hasattr(judge, "judge")
    mixture = replace(
        mixtures.mixture_of("qm", "uniform mean", "norms", grouped=True),
        aggregator=Mean("uniform").combiner if is_screen else judge.combiner,
        screens=(judge.combiner,) if is_screen else (),
        probes=judge.combiner.asks_probe,
    )
    by_name = {"FoolsGold", "FedDetect", "CalibratedFedDetect", "EDetector", "GeneratorEDetector"}
    refused = [refusal.rule.name for refusal in refusals(mixture)]
    assert refused == (["each-behind-hides"] if type(judge).__name__ in by_name else [])


def test_lifting_a_rule_lets_through_what_is_not_sound() -> None:
    """For each rule that refuses mixtures of up to three stages: without it the two sets differ."""
    words = [(word, *judge) for word in mixtures.words(2) for judge in mixtures.JUDGES]
    names = [{refusal.rule.name for refusal in refusals(mixtures.mixture_of(*each))} for each in words]
    alone = {next(iter(broken)) for broken in names if len(broken) == 1}
    for rule in alone:
        through = {each for each, broken in zip(words, names, strict=True) if not broken - {rule}}
        assert through - mixtures.sound(2), rule
    assert len(alone) >= 8
