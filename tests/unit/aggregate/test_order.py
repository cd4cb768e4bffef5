"""Median and trimmed mean against slow ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.aggregate import Median, TrimmedMean
from wardround.aggregate import order as order_module
from wardround.core.update import Update
from wardround.errors import PlanError

ROWS = st.integers(1, 8).flatmap(
    lambda width: st.lists(
        st.lists(st.floats(-100, 100, width=32), min_size=width, max_size=width), min_size=1, max_size=9
    )
)


def updates(rows: list[list[float]]) -> list[Update]:
    return [Update(f"s{i}", 0, {"x": np.array(row, np.float32)}, i + 1) for i, row in enumerate(rows)]


@given(ROWS)
def test_the_median_is_the_slow_one(rows: list[list[float]]) -> None:
    slow = np.median(np.array(rows, np.float64), axis=0)
    np.testing.assert_allclose(Median().combine(updates(rows)).mean()["x"], slow, rtol=1e-6, atol=1e-6)


@given(ROWS, st.integers(1, 3))
def test_the_trimmed_mean_is_the_slow_one(rows: list[list[float]], trim: int) -> None:
    total = TrimmedMean(trim).combine(updates(rows))
    if len(rows) <= 2 * trim:
        assert (total.weight, total.sites) == (0.0, ())
        return
    for place, value in enumerate(total.mean()["x"]):
        left = sorted(row[place] for row in rows)[trim : len(rows) - trim]
        assert value == pytest.approx(sum(left) / len(left), rel=1e-5, abs=1e-5)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 23)).tolist()
    whole = TrimmedMean().combine(updates(rows)).tensors["x"]
    monkeypatch.setattr(order_module, "_BLOCK_VALUES", 10)
    np.testing.assert_array_equal(TrimmedMean().combine(updates(rows)).tensors["x"], whole)


def test_a_trim_of_nothing_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="trim = 0 leaves nothing out"):
        TrimmedMean(0)
