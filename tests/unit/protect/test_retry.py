"""Attempts of one round: what a coordinator that lies as it likes can open, and what follows from it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from masked_round import NAMES, RUN

from wardround.errors import SiteError
from wardround.protect.attempt import Attempt, SurvivorList, default_threshold
from wardround.protect.retry import Signed, groups, may_follow

ROUNDS = 1500


def attempt(cohort: str, number: int) -> Attempt:
    return Attempt(RUN, 0, number, tuple(cohort))


def signed(cohort: str, survivors: str, released: bool, number: int = 0, threshold: int = 0) -> Signed:
    threshold = threshold or default_threshold(len(cohort))
    return Signed(SurvivorList(attempt(cohort, number), threshold, tuple(survivors)), released)


def follows(before: list[Signed], cohort: str, threshold: int = 0) -> bool:
    try:
        may_follow(before, attempt(cohort, 99), threshold or len(cohort))
    except SiteError:
        return False
    return True


@given(st.integers(2, 40))
def test_groups_are_a_tree_with_leaves_of_two_or_three(num_sites: int) -> None:
    sites = tuple(f"{index:02}" for index in range(num_sites))
    found = list(groups(sites))
    leaves = [one for one in [sites, *found] if not list(groups(one))]
    assert sorted(itertools.chain(*leaves)) == list(sites)
    assert {len(leaf) for leaf in leaves} <= {2, 3}
    assert all(set(a) <= set(b) or set(b) <= set(a) or not set(a) & set(b) for a in found for b in found)
    assert len(set(found)) == len(found)


def test_groups_of_seven() -> None:
    assert [*map("".join, groups("abcdefg"))] == ["abc", "defg", "de", "fg"]
    assert list(groups("abc")) == []


def test_anything_may_follow_where_nothing_was_signed() -> None:
    assert follows([], "ab")


def test_after_a_release_only_groups_in_full() -> None:
    before = [signed("abcdef", "abcde", released=True)]
    assert [cohort for cohort in ("ab", "cde") if follows(before, cohort)] == ["ab", "cde"]
    for other in ("abc", "de", "bc", "abcde", "abcdef", "abcd", "acde", "ef"):
        assert not follows(before, other)
    assert not follows(before, "cde", threshold=2)


def test_before_a_release_few_enough_may_be_left_out() -> None:
    before = [signed("abcde", "abcde", released=False, threshold=4)]
    for other in ("abcd", "bcde", "abcde", "abcdex", "bcdex"):
        assert follows(before, other, threshold=len(other) - 1)
    for other in ("abc", "cde", "abcxy"):
        assert not follows(before, other, threshold=len(other) // 2 + 1)
    assert follows(before, "ab")


def test_a_list_of_a_later_family_takes_the_place_of_the_earlier() -> None:
    first = signed("abcde", "abcde", released=False)
    second = signed("abcd", "abcd", released=True, number=1)
    assert follows([first, second], "ab")
    assert follows([first, second], "cd")
    assert not follows([first, second], "cde")  # a group of the first list
    assert not follows([first, second], "abcd")


def test_an_opened_group_of_an_unopened_list_is_not_forgotten() -> None:
    before = [signed("abcdef", "abcdef", released=False), signed("abc", "abc", released=True, number=1, threshold=3)]
    assert not follows(before, "abcde", threshold=4)
    assert follows(before, "def")


def test_groups_that_each_look_harmless_together_are_not() -> None:
    """The reason for groups by name: both pass "disjoint, and two are left", and together they give f away."""
    opened = ["abcdef", "ab", "cde"]
    assert exposed(np.array([[site in one for site in "abcdef"] for one in opened], float)) == [5]
    before = [signed("abcdef", "abcdef", released=True)]
    assert not (follows(before, "ab") and follows(before, "cde"))


def test_a_list_binds_also_those_who_gave_no_shares_for_it() -> None:
    """Five of eight open the list. If the others were free to go on among themselves, a half would give e away."""
    opened = ["abcdefgh", "fgh", "abcd"]
    assert exposed(np.array([[site in one for site in "abcdefgh"] for one in opened], float)) == [4]
    assert follows([signed("abcdefgh", "abcdefgh", released=True)], "abcd")
    assert not follows([signed("abcdefgh", "abcdefgh", released=False)], "fgh", threshold=2)
    assert follows([signed("abcdefgh", "abcdefgh", released=False)], "defgh", threshold=3)


def exposed(opened: np.ndarray) -> list[int]:
    """Return which unknowns follow from sums over the rows."""
    rank = np.linalg.matrix_rank(opened)
    unit = np.eye(opened.shape[1])
    return [
        column for column in range(opened.shape[1]) if np.linalg.matrix_rank(np.vstack([opened, unit[column]])) == rank
    ]


Judge = Callable[[Sequence[Signed], Attempt, int], None]


class Liar:
    """A coordinator that shows lists, and passes offers and signatures on, to whom and when it likes."""

    def __init__(self, rng: random.Random, num_sites: int, num_colluding: int, judge: Judge) -> None:
        self.rng = rng
        self.judge = judge
        self.sites = NAMES[:num_sites]
        self.colluding = frozenset(rng.sample(self.sites, num_colluding))
        self.latest = dict.fromkeys(self.sites, -1)
        self.signed: dict[str, list[Signed]] = {site: [] for site in self.sites}
        self.released: dict[SurvivorList, set[str]] = {}

    @property
    def opened(self) -> list[tuple[str, ...]]:
        return [
            listed.survivors
            for listed, released in self.released.items()
            if len(released | (self.colluding & set(listed.attempt.cohort))) >= listed.threshold
        ]

    def attempt(self, number: int) -> None:
        cohort, threshold = self._cohort()
        if 2 * threshold - len(cohort) <= len(self.colluding & set(cohort)):
            return  # more liars than the claim allows
        begun = Attempt(RUN, 0, number, cohort)
        joined = [self._joins(site, begun, threshold) for site in cohort]  # also those after a refusal
        if all(joined):
            lists = [self._list(begun, threshold) for _ in range(self.rng.choice([1, 1, 2, 3]))]
            for site in cohort:
                shown = self.rng.choice(lists)
                if site not in self.colluding and site in shown.survivors and self.rng.random() < 0.9:
                    self.signed[site].append(Signed(shown, released=False))
            self.released.update((listed, set()) for listed in lists)
        for listed in list(self.released):
            self._collect(listed)

    def _joins(self, site: str, begun: Attempt, threshold: int) -> bool:
        if site in self.colluding:
            return True
        if self.rng.random() < 0.05:
            return False  # the call never reached it
        try:
            self.judge(self.signed[site], begun, threshold)
        except SiteError:
            return False
        self.latest[site] = begun.number
        return True

    def _collect(self, listed: SurvivorList) -> None:
        honest = [site for site in listed.survivors if site not in self.colluding]
        if not all(any(one.listed == listed for one in self.signed[site]) for site in honest):
            return
        chance = self.rng.choice([0.1, 0.5, 1])
        for site in honest:
            if self.latest[site] == listed.attempt.number and self.rng.random() < chance:
                self.signed[site][-1] = Signed(listed, released=True)
                self.released[listed].add(site)

    def _cohort(self) -> tuple[tuple[str, ...], int]:
        known = [one.listed for lists in self.signed.values() for one in lists]
        cohort = {site for site in self.sites if self.rng.random() < 0.8}
        if known and self.rng.random() < 0.7:
            listed = self.rng.choice(known)
            cohort = set(self.rng.choice([*groups(listed.survivors), listed.survivors, listed.attempt.cohort]))
            if self.rng.random() < 0.4:
                cohort ^= set(self.rng.sample(self.sites, self.rng.choice([1, 2])))
        if len(cohort) < 2:
            cohort = set(self.sites)
        size = len(cohort)
        return tuple(sorted(cohort)), self.rng.choice([size, size, default_threshold(size), size // 2 + 1])

    def _list(self, begun: Attempt, threshold: int) -> SurvivorList:
        size = self.rng.randint(threshold, len(begun.cohort))
        return SurvivorList(begun, threshold, tuple(sorted(self.rng.sample(begun.cohort, size))))


def played_by(judge: Judge, num_colluding: int, rounds: int) -> Iterator[Liar]:
    rng = random.Random(num_colluding)
    for _ in range(rounds):
        liar = Liar(rng, rng.randint(4, 8), num_colluding, judge)
        for number in range(10):
            liar.attempt(number)
        yield liar


def gives_away(liar: Liar) -> list[int]:
    honest = [site for site in liar.sites if site not in liar.colluding]
    return exposed(np.array([[site in one for site in honest] for one in liar.opened], float).reshape(-1, len(honest)))


@pytest.mark.parametrize("num_colluding", [0, 1, 2])
def test_no_liar_opens_sums_that_give_a_site_away(num_colluding: int) -> None:
    several = 0
    for liar in played_by(may_follow, num_colluding, ROUNDS):
        opened = list(dict.fromkeys(liar.opened))
        several += len(opened) > 1
        for left, right in itertools.combinations(opened, 2):
            if (set(left) & set(right)) - liar.colluding:
                assert right in groups(left) or left in groups(right)
        if num_colluding == 0:
            assert gives_away(liar) == []
    # The coordinator did get somewhere: the claim is not an empty one.
    assert several > ROUNDS / 50


def disjoint_groups(signed: Sequence[Signed], attempt: Attempt, threshold: int) -> None:
    """Weaker: any group of which 2 are in and 2 or none are out, disjoint from the groups of this site before."""
    opened = [set(one.listed.survivors) for one in signed if one.released]
    cohort = set(attempt.cohort)
    if opened and not (cohort < opened[0] and len(opened[0] - cohort) >= 2 and not any(cohort & o for o in opened[1:])):
        raise SiteError("no group")


def groups_with_drop_outs(signed: Sequence[Signed], attempt: Attempt, threshold: int) -> None:
    """Weaker: sites may drop out of a group."""
    may_follow(signed, attempt, len(attempt.cohort))


@pytest.mark.parametrize("weaker", [disjoint_groups, groups_with_drop_outs])
def test_weaker_rules_give_sites_away(weaker: Judge) -> None:
    assert any(gives_away(liar) for liar in played_by(weaker, 0, 10 * ROUNDS))


@pytest.mark.parametrize("num_sites", [2, 3, 4, 5, 6])
def test_two_lists_of_one_attempt_need_too_many_liars(num_sites: int) -> None:
    """Every threshold t and number of liars c: two lists can both be signed if and only if 2 t <= n + c."""
    sites = range(num_sites)
    for threshold in range(num_sites // 2 + 1, num_sites + 1):
        lists = [set(one) for size in range(threshold, num_sites + 1) for one in itertools.combinations(sites, size)]
        for num_liars in range(threshold):
            honest = set(range(num_liars, num_sites))
            # An honest site signs one list only.
            possible = any(not (a & b & honest) for a, b in itertools.combinations(lists, 2))
            assert possible == (2 * threshold <= num_sites + num_liars)
