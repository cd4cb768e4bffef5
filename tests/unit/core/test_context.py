"""Randomness belongs to a place in a run, and to nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wardround.core.context import RoundContext, derive_seed

HERE = RoundContext(seed=1, round=2, rounds=5, cohort=("a", "b"), population=3, site="a")

parts = st.lists(st.integers() | st.text(), max_size=4)


def test_the_same_place_gives_the_same_numbers() -> None:
    first, again = HERE.rng("order").random(5), replace(HERE).rng("order").random(5)
    np.testing.assert_array_equal(first, again)


def test_every_other_place_and_purpose_gives_other_numbers() -> None:
    places = [HERE, replace(HERE, seed=2), replace(HERE, round=3), HERE.at("b"), replace(HERE, site=None)]
    seeds = [place.entropy(purpose) for place in places for purpose in ("order", "torch")]
    assert len(set(seeds)) == 10
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_cohort_population_and_length_of_the_run_change_nothing() -> None:
    other = replace(HERE, cohort=("a",), population=9, rounds=50)
    assert other.entropy("order") == HERE.entropy("order")


def test_streams_of_two_purposes_are_unlike() -> None:
    draws = np.stack([HERE.rng(purpose).normal(size=2000) for purpose in ("order", "torch", "cohort")])
    correlations = np.corrcoef(draws)
    assert all(abs(correlations[i, j]) < 0.1 for i, j in combinations(range(3), 2))


def test_without_a_seed_the_operating_system_decides() -> None:
    deployed = replace(HERE, seed=None)
    assert len({deployed.entropy("order") for _ in range(20)}) == 20


def test_at_names_the_site_and_nothing_else() -> None:
    assert HERE.at("b") == replace(HERE, site="b")


@given(parts, parts)
def test_seeds_tell_any_two_lists_of_parts_apart(left: list[int | str], right: list[int | str]) -> None:
    same = [(type(part), part) for part in left] == [(type(part), part) for part in right]
    assert (derive_seed(*left) == derive_seed(*right)) is same


def test_borders_and_kinds_count_whatever_the_text_holds() -> None:
    assert (
        len({derive_seed(1, "2"), derive_seed(12), derive_seed("12"), derive_seed("1", "2"), derive_seed("1", 2)}) == 5
    )
    assert derive_seed("a", "b") != derive_seed("a\x1fstr:b")
    assert derive_seed("a\x1f", "b") != derive_seed("a", "\x1fb")


def test_seeds_do_not_change_between_versions() -> None:
    assert derive_seed(1, 0, "north", "torch") == 2647599090725770049
