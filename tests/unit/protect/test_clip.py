"""The norm of what leaves is bounded, whatever comes in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wardround.errors import PlanError, SiteError
from wardround.protect.clip import Clip, clip_to_norm, norm_of

values = st.floats(-(2.0**40), 2.0**40, width=32)
tensors = st.dictionaries(
    st.sampled_from(["net/a", "net/b", "stat/c"]),
    hnp.arrays(st.sampled_from([np.float32, np.float64]), hnp.array_shapes(max_dims=3, max_side=4), elements=values),
    min_size=1,
)
bounds = st.floats(1e-6, 1e6)


def plain_norm(of: dict[str, np.ndarray]) -> float:
    """The norm, number by number."""
    return math.sqrt(math.fsum(float(value) ** 2 for array in of.values() for value in array.ravel()))


@given(tensors, bounds)
def test_the_norm_is_at_most_the_bound(change: dict[str, np.ndarray], bound: float) -> None:
    clipped, norm = clip_to_norm(change, bound)
    assert plain_norm(dict(clipped)) <= bound * (1 + 1e-12)
    assert norm == pytest.approx(plain_norm(change), rel=1e-9)
    for name, value in change.items():
        assert (clipped[name].shape, clipped[name].dtype) == (value.shape, value.dtype)


@given(tensors, bounds)
def test_all_tensors_shrink_by_one_factor(change: dict[str, np.ndarray], bound: float) -> None:
    clipped, norm = clip_to_norm(change, bound)
    factor = min(1.0, bound / norm) if norm else 1.0
    for name, value in change.items():
        # Rounding, and the hair by which a second step may shrink more.
        np.testing.assert_allclose(clipped[name], value * factor, rtol=3e-6, atol=1e-44)


@given(tensors)
def test_what_is_small_enough_is_left_alone(change: dict[str, np.ndarray]) -> None:
    clipped, _ = clip_to_norm(change, max(1.0, 2 * plain_norm(change)))
    for name, value in change.items():
        assert clipped[name].tobytes() == value.tobytes()


@given(bounds)
def test_zero_stays_zero(bound: float) -> None:
    clipped, norm = clip_to_norm({"net/a": np.zeros((2, 3), np.float32), "net/b": np.zeros(0, np.float32)}, bound)
    assert norm == 0
    assert not clipped["net/a"].any()
    assert clipped["net/b"].size == 0


def test_the_norm_is_joint() -> None:
    change = {"net/a": np.array([3.0], np.float32), "net/b": np.array([4.0], np.float32)}
    assert norm_of(change) == 5
    clipped, _ = clip_to_norm(change, 1.0)
    assert clipped["net/a"][0] == pytest.approx(0.6, rel=1e-5)
    assert clipped["net/b"][0] == pytest.approx(0.8, rel=1e-5)


def test_many_small_float32_numbers_are_summed_exactly_enough() -> None:
    """A float32 sum of squares would stop growing at 2^24 of them."""
    change = {"net/a": np.ones(2**24 + 2**20, np.float32)}
    assert norm_of(change) == pytest.approx(math.sqrt(2**24 + 2**20), rel=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["net/a", "stat/b"])
def test_what_is_not_finite_is_refused_before_it_is_scaled(bad: float, name: str) -> None:
    change = {"net/a": np.ones(3, np.float32), "stat/b": np.ones(3, np.float32)}
    change[name][1] = bad
    with pytest.raises(SiteError, match=r"not finite, so its norm cannot be bounded; lower training\.learning_rate"):
        clip_to_norm(change, 1.0)


def test_a_norm_that_overflows_is_refused() -> None:
    with np.errstate(over="ignore"), pytest.raises(SiteError, match="not finite"):
        clip_to_norm({"net/a": np.full(4, 1e200)}, 1.0)


def test_the_stage_clips_to_its_norm() -> None:
    change = {"net/a": np.full(4, 5.0, np.float32)}
    assert norm_of(Clip(norm=2.0).encode(change)) == pytest.approx(2.0)
    assert Clip().norm == 10.0


@pytest.mark.parametrize("norm", [0.0, -1.0, math.inf, math.nan])
def test_a_norm_that_bounds_nothing_is_refused(norm: float) -> None:
    with pytest.raises(PlanError, match="is not a positive number"):
        Clip(norm=norm)
