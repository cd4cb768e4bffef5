"""Krum and the geometric median against slow oracles, and against a site that pulls."""

from __future__ import annotations

import numpy as np
import pytest
from contracts.aggregator_contract import update
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.aggregate import GeometricMedian, Krum, Mean, MultiKrum
from wardround.aggregate.selection import comparisons, sort_rows
from wardround.core.update import Update
from wardround.errors import PlanError


def row(each: Update) -> np.ndarray:
    return np.concatenate([np.asarray(value, np.float64).reshape(-1) for value in each.tensors.values()])


def made(seed: int, count: int) -> list[Update]:
    return [update(f"site-{index}", 1 + index, 100 * seed + index, 1 + index % 3) for index in range(count)]


def krum_scores(rows: list[np.ndarray], malicious: int) -> list[float]:
    scores = []
    for place, one in enumerate(rows):
        apart = sorted(float(np.sum((one - other) ** 2)) for index, other in enumerate(rows) if index != place)
        scores.append(sum(apart[: len(rows) - malicious - 2]))
    return scores


@pytest.mark.parametrize(("count", "malicious"), [(5, 1), (8, 2), (9, 3)])
def test_krum_is_the_update_with_the_best_score(count: int, malicious: int) -> None:
    for seed in range(5):
        updates = made(seed, count)
        best = int(np.argmin(krum_scores([row(each) for each in updates], malicious)))
        total = Krum(malicious).combine(updates)
        assert total.chosen == {f"site-{index}": float(index == best) for index in range(count)}
        for name, value in total.mean().items():
            np.testing.assert_allclose(value, updates[best].tensors[name], rtol=1e-6)


def test_multi_krum_is_the_mean_of_all_but_the_worst_scores() -> None:
    updates = made(3, 8)
    kept = np.argsort(krum_scores([row(each) for each in updates], 2))[:6]
    total = MultiKrum(2).combine(updates)
    assert {site for site, weight in total.chosen.items() if weight} == {f"site-{index}" for index in kept}
    expected = Mean("uniform").combine([updates[index] for index in sorted(kept)]).mean()
    for name, value in total.mean().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6)


@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_nothing_near_the_geometric_median_has_a_smaller_sum_of_distances(weighting: str) -> None:
    for seed in range(4):
        updates = made(seed, 7)
        aggregator = GeometricMedian(weighting)
        rows, shares = [row(each) for each in updates], [aggregator.share(each.num_examples) for each in updates]

        def cost(point: np.ndarray, rows: list[np.ndarray] = rows, shares: list[float] = shares) -> float:
            return sum(w * float(np.linalg.norm(point - each)) for w, each in zip(shares, rows, strict=True))

        total = aggregator.combine(updates)
        found = np.concatenate([(value / total.weight).reshape(-1) for value in total.tensors.values()])
        rng = np.random.default_rng(seed)
        for size in (1e-3, 1e-2, 0.1):
            assert cost(found) <= cost(found + size * rng.normal(size=found.size)) + 1e-9


def test_a_site_that_is_trusted_less_pulls_the_geometric_median_less() -> None:
    updates = made(1, 5)
    far = update("far", 1, 7, 50.0)
    doubted = Update(far.site, 0, far.tensors, 1, trust=0.1)
    weights = [GeometricMedian().combine([*updates, each]).chosen["far"] for each in (far, doubted)]
    assert weights[1] < 0.2 * weights[0]


def test_without_an_attack_stopped_there_is_none_the_mean_gives_in() -> None:
    """The control: 2 of 8 that pull one way move the mean by their length, and none of these by a tenth of it."""
    honest = [update(f"site-{index}", 10, index) for index in range(6)]
    pull = [Update(f"bad-{n}", 0, {k: np.full_like(v, 1000) for k, v in honest[0].tensors.items()}, 10) for n in (0, 1)]
    assert row(Update("", 0, Mean().combine(honest + pull).mean(), 1)).mean() > 200
    for aggregator in (Krum(2), MultiKrum(2), GeometricMedian()):
        assert abs(row(Update("", 0, aggregator.combine(honest + pull).mean(), 1)).mean()) < 20


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 24), st.integers(0, 2**31), st.data())
def test_the_rows_that_are_wanted_are_those_of_a_sort(count: int, seed: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, count - 1))
    last = data.draw(st.integers(first + 1, count))
    rows = np.random.default_rng(seed).integers(0, 9, (count, 5)).astype(np.float32)
    expected = np.sort(rows, axis=0)[first:last]
    sort_rows(rows, first, last, np.empty(5, np.float32))
    np.testing.assert_array_equal(rows[first:last], expected)


def test_a_median_takes_fewer_comparisons_than_a_sort() -> None:
    assert len(comparisons(10, 4, 6)) < len(comparisons(10, 0, 10)) <= 32


@pytest.mark.parametrize(
    "wrong", [lambda: Krum(0), lambda: MultiKrum(-1), lambda: GeometricMedian("number")], ids=["krum", "multi", "rfa"]
)
def test_what_would_not_withstand_anything_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(PlanError, match="aggregator"):
        wrong()
