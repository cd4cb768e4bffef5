"""The clip: the norm is at most the bound, zero stays zero, and nothing that is not finite passes."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import PlanError, SiteError
from wardround.protect.clip import Clip, clip_to_norm, norm_of


@given(st.floats(1e-6, 1e6), st.floats(1e-3, 1e3), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_the_joint_norm_is_at_most_the_bound(size: float, bound: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    change = {"net/a": (size * rng.normal(size=(3, 4))).astype(np.float32), "net/b": np.zeros(2, np.float32)}
    clipped, before = clip_to_norm(change, bound)
    assert before == pytest.approx(norm_of(change))
    assert norm_of(clipped) <= bound
    assert {name: (value.shape, value.dtype) for name, value in clipped.items()} == {
        name: (value.shape, value.dtype) for name, value in change.items()
    }
    assert not clipped["net/b"].any()
    if before <= bound:
        assert clipped is change
    else:
        assert norm_of(clipped) == pytest.approx(bound, rel=1e-5)
        np.testing.assert_allclose(clipped["net/a"] * (before / bound), change["net/a"], rtol=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_before_the_clip(bad: float) -> None:
    with pytest.raises(SiteError, match="not finite"):
        Clip(1.0).encode({"net/a": np.array([0.0, bad], np.float32)}, tiny.context())


def test_a_norm_that_overflows_is_refused() -> None:
    with pytest.raises(SiteError, match="not finite"):
        clip_to_norm({"net/a": np.full(4, 1e300)}, 1.0)


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bound_that_is_none_is_refused(norm: float) -> None:
    with pytest.raises(PlanError, match="clip norm = "):
        Clip(norm)
