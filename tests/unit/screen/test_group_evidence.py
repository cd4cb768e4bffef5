"""The screen of groups: who is told from whom, how often the honest are accused, who comes back, what it cannot do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from wardround.core.geometry import norm
from wardround.core.update import Tensors, Update
from wardround.errors import PlanError
from wardround.screen import Case, GroupEvidence, Judgement

SIZE = 20
COMMON = np.random.default_rng(0).normal(size=SIZE)
Told = Mapping[str, tuple[np.ndarray, float]]
"""Site -> its update, which nobody sees, and the loss that it reports."""


def names(count: int) -> list[str]:
    return [f"site-{place:02d}" for place in range(count)]


def honest(rng: np.random.Generator, count: int) -> dict[str, tuple[np.ndarray, float]]:
    """Return alike sites: a common way, and as much noise of their own."""
    return {site: (COMMON + rng.normal(size=SIZE), 1 + 0.2 * rng.random()) for site in names(count)}


def means(told: Told, groups: Sequence[Sequence[str]]) -> list[Update]:
    return [
        Update(
            "+".join(group),
            0,
            {"net/a": np.asarray(np.mean([told[site][0] for site in group], axis=0), np.float32)},
            len(group),
            members={site: {"loss": told[site][1]} for site in group},
        )
        for group in groups
    ]


def pairs(rng: np.random.Generator, sites: Sequence[str]) -> list[list[str]]:
    """Deal pairs at random; of an odd number three are together."""
    order = [sites[place] for place in rng.permutation(len(sites))]
    return [part.tolist() for part in np.array_split(order, len(order) // 2)]


def judged(screen: GroupEvidence, updates: Sequence[Update], memory: Tensors, index: int = 0) -> Judgement:
    return screen.judge(Case(updates, replace(tiny.context(index), rounds=100), memory))


def played(
    screen: GroupEvidence,
    rounds: int,
    tell: Callable[[np.random.Generator, list[list[str]]], Told],
    count: int = 16,
    seed: int = 1,
    fixed: bool = False,
) -> list[set[str]]:
    """Return who rests after each round."""
    rng, memory, resting, found = np.random.default_rng(seed), dict[str, np.ndarray](), set[str](), []
    always = pairs(rng, names(count))
    for index in range(rounds):
        asked = [site for site in names(count) if site not in resting]
        groups = always if fixed else pairs(rng, asked)
        judgement = judged(screen, means(tell(rng, groups), groups), memory, index)
        memory = dict(judgement.memory)
        resting = {site for site, verdict in judgement.members.items() if not verdict.trust}
        found.append(resting)
    return found


def scaled(*attackers: str, count: int = 16, loss: float = 1.0) -> Callable[..., Told]:
    def tell(rng: np.random.Generator, groups: list[list[str]]) -> Told:
        told = honest(rng, count)
        return told | {site: (5 * told[site][0], loss) for site in attackers}

    return tell


def first(found: list[set[str]], site: str) -> int:
    return next((index for index, resting in enumerate(found) if site in resting), 99)


def test_sites_that_scale_are_told_from_those_that_they_were_with() -> None:
    found = played(GroupEvidence(), 20, scaled("site-03", "site-11"))
    assert max(first(found, "site-03"), first(found, "site-11")) < 15
    assert set().union(*found) == {"site-03", "site-11"}


def test_without_an_attack_nobody_rests() -> None:
    assert not set().union(*played(GroupEvidence(), 40, scaled()))


def test_of_two_that_are_always_together_it_says_the_same() -> None:
    """The control: where groups do not change, who was with an attacker is accused with it."""
    found = played(GroupEvidence(), 20, scaled("site-03"), fixed=True)
    assert len(set().union(*found)) == 2
    together = next(resting for resting in found if resting)
    assert "site-03" in together
    assert len(together) == 2


def test_a_high_loss_is_held_against_the_site_alone() -> None:
    def tell(rng: np.random.Generator, groups: list[list[str]]) -> Told:
        told = honest(rng, 16)
        return told | {"site-05": (told["site-05"][0], 3.0)}

    assert set().union(*played(GroupEvidence(), 12, tell)) == {"site-05"}


def test_what_points_away_is_found_though_it_is_not_long() -> None:
    def tell(rng: np.random.Generator, groups: list[list[str]]) -> Told:
        told = honest(rng, 24)
        return told | {"site-05": (-2 * told["site-05"][0], 1.1)}

    assert set().union(*played(GroupEvidence(longest=100.0), 25, tell, count=24)) == {"site-05"}


@given(
    lengths=st.lists(st.floats(1e-6, 1e6), min_size=4, max_size=4),
    losses=st.lists(st.floats(-100, 100), min_size=9, max_size=9),
)
def test_what_sites_gain_others_lose(lengths: list[float], losses: list[float]) -> None:
    """A bet is fair whatever comes in: over the sites of a round its mean is 1, for each kind of number."""
    sites = names(9)
    groups = [sites[:2], sites[2:4], sites[4:6], sites[6:]]
    told = {site: (COMMON, loss) for site, loss in zip(sites, losses, strict=True)}
    updates = [
        replace(update, tensors={"net/a": np.asarray(length * update.tensors["net/a"])})
        for update, length in zip(means(told, groups), lengths, strict=True)
    ]
    memory = judged(GroupEvidence(false_alarms=1e-9), updates, {}).memory
    for kind in ("length", "way", "loss"):
        assert np.mean([math.exp(memory[f"{kind}/{site}"]) for site in sites]) == pytest.approx(1.0)


def test_alike_sites_are_accused_no_more_often_than_it_says() -> None:
    """Against a claim that is easy to break: heavy tails, no allowance, and an alarm at 20 to 1."""
    screen = GroupEvidence(false_alarms=0.05, allowance=0.0, rest=1)

    def tell(rng: np.random.Generator, groups: list[list[str]]) -> Told:
        return {s: (update * rng.pareto(1.5), loss) for s, (update, loss) in honest(rng, 8).items()}

    rounds = 25
    alarms = sum(len(resting) for seed in range(20) for resting in played(screen, rounds, tell, count=8, seed=seed))
    assert 0 < alarms / (20 * rounds * 8) < 0.05


def test_who_rests_comes_back_and_rests_longer_the_next_time() -> None:
    found = played(GroupEvidence(rest=2), 60, scaled("site-03"))
    spells = [len(list(run)) for away, run in itertools.groupby("site-03" in resting for resting in found) if away]
    assert spells[:2] == [2, 4]
    # It comes back with evidence of 1, so that it takes as long as before to be found again.
    back = next(index for index in range(1, 60) if "site-03" in found[index - 1] and "site-03" not in found[index])
    assert "site-03" not in found[back + 1]


def test_an_honest_site_that_was_accused_comes_back_for_good() -> None:
    def tell(rng: np.random.Generator, groups: list[list[str]]) -> Told:
        told, tell.rounds = honest(rng, 16), tell.rounds + 1  # type: ignore[attr-defined]
        return told | ({"site-03": (5 * told["site-03"][0], 1.0)} if tell.rounds < 14 else {})  # type: ignore[attr-defined]

    tell.rounds = 0  # type: ignore[attr-defined]
    found = played(GroupEvidence(), 40, tell)
    assert any("site-03" in resting for resting in found)
    assert not any("site-03" in resting for resting in found[-15:])


def test_fewer_than_half_rest() -> None:
    found = played(GroupEvidence(false_alarms=0.9, allowance=0.0), 30, scaled("site-01", "site-02", count=8), count=8)
    assert any(found)
    assert max(map(len, found)) <= 3


def test_means_are_shortened_to_the_shorter_middle_and_long_ones_left_out() -> None:
    told = {site: (scale * COMMON, 1.0) for site, scale in zip(names(8), (1, 1, 1.2, 1.2, 1.9, 1.9, 5, 5), strict=True)}
    groups = [names(8)[start : start + 2] for start in range(0, 8, 2)]
    found = judged(GroupEvidence(), means(told, groups), {})
    lengths = [norm({"a": COMMON * scale}) for scale in (1, 1.2, 1.2, 1.2)]
    assert [norm(each.tensors) for each in found.updates or ()] == pytest.approx(lengths, rel=1e-5)
    assert [verdict.trust for verdict in found.verdicts.values()] == [1, 1, 1, 0]
    assert "the mean of its group has norm" in found.verdicts["site-06+site-07"].reason


def test_conspirators_can_throw_suspicion_on_one_that_is_honest() -> None:
    """A limit: they poison only while one of them is with site-00, which so stands out more often than any of them."""
    culprits = {"site-03", "site-07", "site-11"}

    def tell(rng: np.random.Generator, groups: list[list[str]]) -> Told:
        told = honest(rng, 16)
        with_victim = next((set(group) for group in groups if "site-00" in group), set())
        return told | {site: (5 * told[site][0], 1.0) for site in culprits & with_victim}

    found = played(GroupEvidence(), 120, tell)
    assert first(found, "site-00") < min(first(found, site) for site in culprits)


@pytest.mark.parametrize(
    "settings",
    [{"false_alarms": 0.0}, {"rest": 0}, {"allowance": -1.0}, {"bet": 0.0}, {"most": 200.0}, {"longest": 1.0}],
)
def test_settings_that_mean_nothing(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="group_evidence needs"):
        GroupEvidence(**settings)  # type: ignore[arg-type]
