"""A row of numbers and the tensors that it is made of."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wardround.core.update import Tensors
from wardround.protect.row import Row

TENSORS: Tensors = {
    "net/b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "net/a": np.array(9.0, np.float32),
    "stat/c": np.empty((0, 4), np.float32),
}


def test_tensors_lie_in_the_order_of_their_names_and_come_back() -> None:
    row = Row.of(TENSORS)
    assert (row.length, row.num_values) == (7, 7)
    values = row.values(TENSORS, np.float32)
    assert values.tolist() == [9, 0, 1, 2, 3, 4, 5]
    for name, value in row.tensors(values).items():
        assert value.shape == TENSORS[name].shape
        np.testing.assert_array_equal(value, TENSORS[name])


@given(st.sets(st.integers(0, 6)))
def test_chosen_places_come_back_in_theirs_and_the_rest_is_zero(chosen: set[int]) -> None:
    row = Row.of(TENSORS, np.array(sorted(chosen), np.int64))
    assert (row.length, row.num_values) == (7, len(chosen))
    assert sum(row.sizes.values()) == len(chosen)
    values = row.values(TENSORS, np.float64)
    whole = Row.of(TENSORS)
    expected = np.where(np.isin(np.arange(7), sorted(chosen)), whole.values(TENSORS, np.float64), 0.0)
    np.testing.assert_array_equal(whole.values(row.tensors(values), np.float64), expected)
    for name, flat in row.chosen(TENSORS, np.float64):
        assert flat.size == row.sizes[name]


def test_a_row_of_nothing_is_empty() -> None:
    assert Row.of({}).values({}, np.float32).size == 0
    assert Row.of({}).tensors(np.empty(0)) == {}
