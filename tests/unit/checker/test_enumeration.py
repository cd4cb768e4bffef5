"""The checker over every mixture of up to three stages, against a grammar that knows no rule."""

from __future__ import annotations

import mixtures

from wardround.aggregate import AGGREGATORS
from wardround.checker import RULES, refusals
from wardround.protect.pipeline import STAGES
from wardround.screen import SCREENS

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


def test_every_registered_stage_and_judge_takes_part() -> None:
    lettered = {stage.contract for stage in mixtures.STAGES.values()}
    assert len(lettered) == len(mixtures.STAGES), "no two letters have one contract"
    assert {stage.contract for stage in mixtures.ALIKE} <= lettered
    assert {type(stage) for stage in (*mixtures.STAGES.values(), *mixtures.ALIKE)} == set(STAGES.values())
    assert {type(one) for one in mixtures.AGGREGATORS.values()} == set(AGGREGATORS.values())
    assert {type(one) for several in mixtures.SCREENS.values() for one in several} == set(SCREENS.values())


def test_lifting_a_rule_lets_through_what_is_not_sound() -> None:
    """For each rule that refuses mixtures of up to three stages: without it the two sets differ."""
    words = [(word, *judge) for word in mixtures.words(2) for judge in mixtures.JUDGES]
    names = [{refusal.rule.name for refusal in refusals(mixtures.mixture_of(*each))} for each in words]
    alone = {next(iter(broken)) for broken in names if len(broken) == 1}
    for rule in alone:
        through = {each for each, broken in zip(words, names, strict=True) if not broken - {rule}}
        assert through - mixtures.sound(2), rule
    assert len(alone) >= 8
