"""Quantising: errors below one step, a mean without bias, and weights that everybody computes alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import PlanError
from wardround.protect.quantise import Quantise, RealGrid, follow_from, integer_weights
from wardround.protect.row import Row

WEIGHTS = {"net/a": np.linspace(-0.5, 0.25, 12, dtype=np.float32).reshape(3, 4), "stat/b": np.full(2, 3.0, np.float32)}


@given(st.integers(2, 32), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_a_value_moves_by_less_than_one_step_and_zero_stays_zero(bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = Quantise(bits).grid(WEIGHTS)
    change = {"net/a": rng.uniform(-0.5, 0.5, (3, 4)), "stat/b": np.array([0.0, 2.9])}
    change["net/a"][0, 0] = 0.0
    values, cut = grid.encode(change, rng)
    assert values.dtype == np.int64
    assert cut == 0.0
    assert np.abs(values).max() <= 2 ** (bits - 1) - 1
    decoded = grid.decode(values)
    for name, exact in change.items():
        assert (np.abs(decoded[name] - exact) < grid.steps[name] * (1 + 1e-9)).all()
    assert decoded["net/a"][0, 0] == decoded["stat/b"][0] == 0.0


def test_rounding_has_no_bias() -> None:
    grid = Quantise(4).grid({"net/a": np.ones(40_000, np.float32)})
    mean = grid.decode(grid.encode({"net/a": np.full(40_000, 0.05)}, np.random.default_rng(0))[0])["net/a"].mean()
    assert mean == pytest.approx(0.05, abs=4 * grid.steps["net/a"] / 2 / 200)
    assert grid.steps["net/a"] > 0.1  # to the nearest, all of them would be zero


def test_the_range_is_the_largest_broadcast_weight_or_the_floor() -> None:
    steps = Quantise(3, floor=0.7).grid({**WEIGHTS, "variate/net/c": np.zeros(2, np.float32)}).steps
    assert steps == pytest.approx({"net/a": 0.7 / 3, "stat/b": 1.0, "variate/net/c": 1 / 3})


def test_what_is_beyond_its_range_is_cut_and_told() -> None:
    grid = Quantise(8).grid(WEIGHTS)
    change = {"net/a": np.full((3, 4), 0.1), "stat/b": np.array([-30.0, 1.0])}
    change["net/a"][1, 1] = 0.6
    values, cut = grid.encode(change, np.random.default_rng(0))
    assert cut == pytest.approx(2 / 14)
    decoded = grid.decode(values)
    assert decoded["net/a"][1, 1] == pytest.approx(0.5)
    assert decoded["stat/b"][0] == pytest.approx(-3.0)


def test_the_norm_bound_holds_for_clipped_updates() -> None:
    rng = np.random.default_rng(1)
    grid = Quantise(4).grid({"net/a": np.ones(50, np.float32)})
    for _ in range(200):
        change = rng.normal(size=50)
        change *= 0.5 / np.linalg.norm(change)
        assert np.linalg.norm(grid.decode(grid.encode({"net/a": change}, rng)[0])["net/a"]) <= grid.norm_bound(0.5)
    assert grid.norm_bound(None) == pytest.approx(50**0.5)
    assert grid.norm_bound(1e9) == grid.norm_bound(None)


def test_a_real_grid_changes_nothing() -> None:
    grid = RealGrid(Row.of(WEIGHTS))
    values, cut = grid.encode(WEIGHTS, np.random.default_rng(0))
    assert (grid.num_values, cut) == (14, 0.0)
    for name, value in grid.decode(values).items():
        np.testing.assert_array_equal(value, WEIGHTS[name])
    assert grid.norm_bound(None) == float("inf")
    assert 2.0 < grid.norm_bound(2.0) < 2.1


@pytest.mark.parametrize(
    "bad", [{"bits": 1}, {"bits": 33}, {"weight_total": 0}, {"floor": 0.0}, {"floor": float("inf")}]
)
def test_values_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=f"quantise {next(iter(bad))} = "):
        Quantise(**bad)  # type: ignore[arg-type]


COUNTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 10**6), min_size=1, max_size=12)


@given(COUNTS, st.integers(12, 200), st.data())
@settings(max_examples=300, deadline=None)
def test_weights_share_the_total_and_anybody_can_check_them(
    examples: dict[str, int], total: int, data: st.DataObject
) -> None:
    weights = integer_weights(examples, total)
    assert weights == integer_weights(dict(sorted(examples.items(), reverse=True)), total)
    assert sum(weights.values()) == total
    assert min(weights.values()) >= 1
    some = data.draw(st.lists(st.sampled_from(sorted(examples)), min_size=1, unique=True))
    assert follow_from({site: weights[site] for site in some}, {site: examples[site] for site in some})


def test_weights_are_in_proportion() -> None:
    assert integer_weights({"a": 10, "b": 20, "c": 30}, 60) == {"a": 10, "b": 20, "c": 30}
    assert integer_weights({"a": 1, "b": 100_000}, 64) == {"a": 1, "b": 63}
    assert integer_weights({"a": 1, "b": 1, "c": 1}, 64) == {"a": 22, "b": 21, "c": 21}
    with pytest.raises(PlanError, match="3 sites cannot share weight_total = 2"):
        integer_weights({"a": 1, "b": 1, "c": 1}, 2)


@pytest.mark.parametrize(
    ("weights", "examples"),
    [
        ({"a": 61, "b": 1, "c": 1, "d": 1}, {"a": 100, "b": 100, "c": 100, "d": 100}),
        ({"a": 24, "b": 20, "c": 20}, {"a": 100, "b": 100, "c": 100}),
        ({"a": 32, "b": 32}, {"a": 100, "b": 200}),
        ({"a": 1, "b": 1}, {"a": 0, "b": 5}),
    ],
)
def test_weights_that_do_not_follow_are_seen(weights: dict[str, int], examples: dict[str, int]) -> None:
    assert not follow_from(weights, examples)
