"""The smooth displacement of a warp: the same everywhere, as large as it says, and no fold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.attacks.poison.patterns import LARGEST_WARP, warp

EDGES_PX = st.integers(8, 80)


@given(EDGES_PX, EDGES_PX)
def test_a_warp_is_the_same_for_the_same_size_and_of_size_one(height: int, width: int) -> None:
    field = warp(height, width)
    assert field.shape == (2, height, width)
    np.testing.assert_array_equal(field, warp(height, width))
    assert np.abs(field).mean() == pytest.approx(1)


@given(EDGES_PX, EDGES_PX)
def test_a_warp_of_a_sixteenth_of_the_edge_folds_nothing(height: int, width: int) -> None:
    down, right = LARGEST_WARP * min(height, width) * warp(height, width)
    (down_down, down_right), (right_down, right_right) = np.gradient(down), np.gradient(right)
    assert ((1 + down_down) * (1 + right_right) - down_right * right_down).min() > 0


def test_twice_that_folds() -> None:
    down, right = 2 * LARGEST_WARP * 32 * warp(32, 32)
    (down_down, down_right), (right_down, right_right) = np.gradient(down), np.gradient(right)
    assert ((1 + down_down) * (1 + right_right) - down_right * right_down).min() < 0


def test_a_warp_has_the_same_shape_at_every_size() -> None:
    small, large = warp(16, 16), warp(31, 31)[:, ::2, ::2]
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.999


def test_a_warp_is_smooth_between_its_points() -> None:
    """With pixels half as large, neighbours differ by half as much; noise would differ as before."""
    steps = [np.abs(np.diff(warp(size, size), axis=axis)).max() for size in (32, 63) for axis in (1, 2)]
    assert steps[2] / steps[0] == pytest.approx(0.5, abs=0.03)
    assert steps[3] / steps[1] == pytest.approx(0.5, abs=0.03)
