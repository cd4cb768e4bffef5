"""The algebra of updates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wardround.core.update import Aggregate, all_finite, applied, difference, in_group, of_group, size_bytes

floats = hnp.arrays(np.float32, (2, 3), elements=st.floats(-1e6, 1e6, width=32))
tensors = st.dictionaries(st.text("abc./", min_size=1, max_size=4), floats, max_size=4)


@given(tensors)
def test_nothing_changes_by_the_difference_to_itself(weights: dict[str, np.ndarray]) -> None:
    zero = difference(weights, weights)
    assert zero.keys() == weights.keys()
    assert not any(value.any() for value in zero.values())
    for name, value in applied(weights, zero).items():
        np.testing.assert_array_equal(value, weights[name])


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=1))
def test_applying_a_difference_undoes_taking_it(pairs: list[tuple[int, int]]) -> None:
    before, after = ({"w": np.array(column, np.float32)} for column in zip(*pairs, strict=True))
    np.testing.assert_array_equal(applied(before, difference(after, before))["w"], after["w"])


def test_applied_keeps_dtypes_and_what_has_no_change() -> None:
    before = {"a": np.ones(2, np.float32), "b": np.full(2, 7, np.int64), "c": np.array(1, np.float32)}
    after = applied(before, {"a": np.full(2, 0.5), "c": np.array(2.0)})
    assert after["a"].dtype == np.float32
    np.testing.assert_array_equal(after["a"], [1.5, 1.5])
    assert after["b"] is before["b"]
    assert isinstance(after["c"], np.ndarray)
    assert (after["c"].shape, after["c"].item()) == ((), 3)


def test_the_difference_has_the_names_of_what_was_before() -> None:
    found = difference({"a": np.ones(1), "new": np.ones(1)}, {"a": np.zeros(1)})
    assert set(found) == {"a"}
    assert isinstance(difference({"s": np.array(2.0)}, {"s": np.array(1.0)})["s"], np.ndarray)


@given(tensors)
def test_groups_come_apart_again(weights: dict[str, np.ndarray]) -> None:
    grouped = in_group(weights, "net")
    assert all(name.startswith("net/") for name in grouped)
    assert of_group(grouped | {"network/x": np.zeros(1)}, "net").keys() == weights.keys()
    assert of_group(grouped, "stat") == {}


def test_an_aggregate_is_divided_once_in_float64() -> None:
    total = Aggregate({"a": np.array([2.0, 1e30]), "s": np.array(3.0)}, 4.0, ("x",))
    mean = total.mean()
    assert mean["a"].dtype == np.float32
    assert mean["a"][0] == np.float32(0.5)
    assert isinstance(mean["s"], np.ndarray)
    assert mean["s"].shape == ()


def test_the_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no updates"):
        Aggregate({}, 0.0, ()).mean()


def test_size_and_finiteness() -> None:
    assert size_bytes({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.uint8)}) == 28
    assert all_finite([np.zeros(2), np.arange(3)])
    assert not all_finite([np.zeros(2), np.array([1, np.nan])])
    assert not all_finite([np.array(-np.inf)])
