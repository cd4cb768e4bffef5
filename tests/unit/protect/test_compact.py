"""Compact updates there and back, their size, and nothing believed that they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.core.update import Tensors
from wardround.errors import WireError
from wardround.protect.compact import Compact
from wardround.protect.outgoing import UPDATE, incoming
from wardround.protect.row import Row

SHAPES: dict[str, tuple[int, ...]] = {"net/a": (30, 4), "net/b": (), "stat/c": (7,)}
LENGTH = 128
PLACES = np.array([0, 5, 119, 120, 127])
FORMS: dict[str, Compact] = {
    "own places": Compact(Row(SHAPES), True, False),
    "own places, int8": Compact(Row(SHAPES), True, True),
    "shared places": Compact(Row(SHAPES, PLACES), False, False),
    "shared places, int8": Compact(Row(SHAPES, PLACES), False, True),
    "all, int8": Compact(Row(SHAPES), False, True),
}


def sparse(seed: int = 0, share: float = 0.2, size: float = 1.0) -> Tensors:
    rng = np.random.default_rng(seed)
    row = rng.normal(0, size, LENGTH) * (rng.random(LENGTH) < share)
    return Row(SHAPES).tensors(row.astype(np.float32))


def travels(form: Compact, change: Tensors) -> Tensors:
    """What is left of a change of which only the form's places travel."""
    return form.row.tensors(form.row.values(change, np.float32))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.01, 0.3, 1.0]), st.sampled_from([1e-30, 1e-3, 1e3]))
@settings(deadline=None, max_examples=30)
def test_values_come_back_exact_or_within_a_step(form: Compact, seed: int, share: float, size: float) -> None:
    change = sparse(seed, share, size)
    read = form.read(form.write(change, np.random.default_rng(seed)))
    for name, exact in travels(form, change).items():
        assert (read[name].shape, read[name].dtype) == (exact.shape, np.float32)
        step = float(np.abs(exact).max(initial=0)) / 127 if form.int8 else 0.0
        np.testing.assert_allclose(read[name], exact, rtol=1e-6, atol=step * (1 + 1e-5))


def test_int8_is_unbiased_and_reaches_the_largest_value() -> None:
    form = Compact(Row({"net/a": (20_001,)}), False, True)
    change = {"net/a": np.array([1.27, *np.full(20_000, 0.0033)], np.float32)}
    read = form.read(form.write(change, np.random.default_rng(0)))["net/a"]
    assert read[0] == pytest.approx(1.27)
    assert set(np.round(read[1:] / 0.01).astype(int)) == {0, 1}
    assert read[1:].mean() == pytest.approx(0.0033, abs=4 * 0.005 / 20_000**0.5)


def test_bytes_are_counted_by_hand() -> None:
    change = sparse()
    count = sum(int(np.count_nonzero(value)) for value in change.values())
    head, bitmap, steps = 6, LENGTH // 8, 4 * len(SHAPES)
    assert FORMS["own places"].write(change, np.random.default_rng(0)).size == head + bitmap + 4 * count
    assert FORMS["own places, int8"].write(change, np.random.default_rng(0)).size == head + bitmap + steps + count
    assert FORMS["shared places, int8"].write(change, np.random.default_rng(0)).size == head + steps + PLACES.size
    assert FORMS["all, int8"].write(change, np.random.default_rng(0)).size == head + steps + LENGTH


def spoilt(name: str) -> tuple[Compact, np.ndarray]:
    form = FORMS["own places, int8" if name.endswith("code") else "own places"]
    data = form.write(sparse(), np.random.default_rng(0)).copy()
    if name == "a version to come":
        data[0] = 2
    if name == "a count beyond the update":
        data[2:6] = 255
    if name == "a value more":
        data = np.append(data, data[-4:])
    if name == "a value less":
        data = data[:-4]
    if name == "a NaN":
        data[-4:] = np.frombuffer(np.float32(np.nan).tobytes(), np.uint8)
    if name == "a head cut short":
        data = data[:5]
    if name == "another dtype":
        data = data.astype(np.int32)
    if name == "two axes":
        data = data[:6].reshape(2, 3)
    if name == "an illegal code":
        data[-1] = 128  # -128
    if name == "a negative step by its code":
        data[6 + LENGTH // 8 + 3] |= 0x80
    if name == "an infinite step by its code":
        data[6 + LENGTH // 8 : 6 + LENGTH // 8 + 4] = np.frombuffer(np.float32(np.inf).tobytes(), np.uint8)
    return form, data


SPOILT = (
    "a version to come",
    "a count beyond the update",
    "a value more",
    "a value less",
    "a NaN",
    "a head cut short",
    "another dtype",
    "two axes",
    "an illegal code",
    "a negative step by its code",
    "an infinite step by its code",
)


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_spoilt_is_refused(name: str) -> None:
    form, data = spoilt(name)
    with pytest.raises(WireError):
        form.read(data)


def test_places_that_nobody_may_choose_are_refused() -> None:
    own, shared = FORMS["own places"], FORMS["shared places"]
    with pytest.raises(WireError, match="values of kind"):
        shared.read(own.write(sparse(), np.random.default_rng(0)))
    with pytest.raises(WireError, match="kind 255"):
        own.read(shared.write(sparse(), np.random.default_rng(0)))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_change_of_any_byte_gives_finite_tensors_or_a_refusal(form: Compact, data: st.DataObject) -> None:
    written = form.write(sparse(), np.random.default_rng(0)).copy()
    for _ in range(data.draw(st.integers(1, 3))):
        written[data.draw(st.integers(0, written.size - 1))] = data.draw(st.integers(0, 255))
    written = written[: data.draw(st.integers(0, written.size))]
    try:
        read = form.read(written)
    except WireError:
        return
    assert {name: value.shape for name, value in read.items()} == SHAPES
    assert all(np.isfinite(value).all() for value in read.values())


def test_an_update_under_another_name_is_refused() -> None:
    form = FORMS["own places"]
    data = form.write(sparse(), np.random.default_rng(0))
    assert incoming(form, {UPDATE: data}).keys() == SHAPES.keys()
    for wire in ({}, {"net/a": data}, {UPDATE: data, "more": data}):
        with pytest.raises(WireError, match="one array called 'update'"):
            incoming(form, wire)
