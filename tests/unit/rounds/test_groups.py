"""Groups: who is dealt to which, what a site insists on, and what sums of groups give away over the rounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.core.context import RoundContext
from wardround.errors import PlanError, SiteError
from wardround.rounds.groups import Company, Exposure, Groups

EIGHT = tuple(f"site-{place}" for place in range(8))


def context(sites: tuple[str, ...] = EIGHT, index: int = 0, seed: int = 1) -> RoundContext:
    return RoundContext(seed, index, 40, sites, len(sites))


@given(count=st.integers(2, 40), size=st.integers(2, 9), index=st.integers(0, 39), seed=st.integers(0, 2**32))
def test_every_site_is_in_one_group_and_no_group_is_small(count: int, size: int, index: int, seed: int) -> None:
    sites = tuple(f"site-{place:02d}" for place in range(count))
    dealt = Groups(size).deal(context(sites, index, seed))
    assert sorted(itertools.chain(*dealt)) == list(sites)
    sizes = {len(group) for group in dealt}
    assert min(sizes) >= min(size, count)
    assert max(sizes) - min(sizes) <= 1
    assert len(dealt) == max(1, count // size)
    assert all(group == tuple(sorted(group)) for group in dealt)


def test_the_order_of_the_cohort_and_who_asks_change_nothing() -> None:
    dealt = Groups().deal(context())
    assert Groups().deal(context(EIGHT[::-1])) == dealt
    assert all(Groups().deal(context().at(site)) == dealt for site in EIGHT)
    assert all(Groups().of(context(), site) in dealt for site in EIGHT)


def test_groups_change_from_round_to_round_and_from_seed_to_seed_only_where_they_may() -> None:
    assert len({Groups().deal(context(index=index)) for index in range(20)}) > 15
    assert len({Groups(2, regroup=False).deal(context(index=index)) for index in range(20)}) == 1
    assert len({Groups(2, regroup=False).deal(context(seed=seed)) for seed in range(20)}) > 15


def test_two_sites_meet_as_often_as_chance_has_it() -> None:
    met = [any({"site-0", "site-5"} <= set(group) for group in Groups().deal(context(seed=s))) for s in range(2000)]
    assert np.mean(met) == pytest.approx(1 / 7, abs=0.03)


def test_one_site_is_no_group() -> None:
    with pytest.raises(PlanError, match="the sum of one site is its update"):
        Groups(1)


def test_a_site_keeps_to_its_group() -> None:
    own = Groups(3).of(context(), "site-0")
    other = next(site for site in EIGHT if site not in own)
    company = Company(Groups(3), 1, 40, "site-0")
    company.require(0, EIGHT, own)
    for asked in (("site-0", other), (*own, other), tuple(site for site in own if site != "site-0")):
        with pytest.raises(SiteError, match="the plan deals"):
            company.require(0, EIGHT, asked)
    with pytest.raises(SiteError, match="2 of a group left"):
        company.require(0, EIGHT, tuple(sorted({"site-0", *[site for site in own if site != "site-0"][:1]})))


@pytest.mark.parametrize(("count", "size"), [(8, 2), (9, 4), (20, 2)])
def test_what_lasts_is_solved_for_when_it_says_and_not_a_round_before(count: int, size: int) -> None:
    """Solved as a coordinator would: updates that never change, and the sums of the groups that the plan deals."""
    sites = tuple(f"site-{place:02d}" for place in range(count))
    lasting = np.random.default_rng(3).normal(size=count)
    told = Exposure.of(Groups(size), 1, sites, 40)
    assert told.solved_after is not None
    rows = []
    for index in range(told.solved_after):
        before = np.array(rows)
        for group in Groups(size).deal(context(sites, index)):
            rows.append([site in group for site in sites])
    found = np.linalg.lstsq(np.array(rows, float), np.array(rows, float) @ lasting)[0]
    np.testing.assert_allclose(found, lasting, atol=1e-9)
    too_few = np.linalg.lstsq(before.astype(float), before @ lasting)[0]
    assert np.abs(too_few - lasting).max() > 0.01


def test_its_worth_is_that_of_the_estimate() -> None:
    """Against 2,000 runs with noise: the variance of the best estimate of a site's lasting part."""
    rounds, rng = 16, np.random.default_rng(0)
    rows = np.array(
        [[site in group for site in EIGHT] for index in range(rounds) for group in Groups().deal(context(index=index))],
        float,
    )
    noise = rng.normal(size=(rounds, 8, 2000))
    sums = np.concatenate([rows[4 * i : 4 * i + 4] @ noise[i] for i in range(rounds)])
    errors = np.linalg.lstsq(rows, sums)[0]
    assert Exposure.of(Groups(), 1, EIGHT, rounds).worth == pytest.approx(1 / errors.var(axis=1).min(), rel=0.1)


def test_groups_that_stay_never_give_a_member_away() -> None:
    told = Exposure.of(Groups(2, regroup=False), 1, EIGHT, 1000)
    assert (told.solved_after, told.worth) == (None, 0.0)
