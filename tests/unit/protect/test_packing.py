"""Packed words: sums equal those of plain integers, nothing carries over, nothing malformed gets through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import PlanError, WireError
from wardround.protect.packing import CHUNK_WORDS, Layout, choose_plain, narrow, widen

TWO_OF_16 = Layout(bits=16, weight_total=64, fields=2)
FOUR_OF_8 = Layout(bits=8, weight_total=8, fields=4)
FULL_WORD = Layout(bits=16, weight_total=2**16, fields=2)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    bits = draw(st.integers(2, 32))
    extra = draw(st.integers(0, min(20, 64 - bits)))
    weight_total = draw(st.integers(2 ** (extra - 1) + 1 if extra else 1, 2**extra))
    return Layout(bits, weight_total, draw(st.integers(1, 64 // (bits + extra))))


def values_of(layout: Layout, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random values, half of them extremes."""
    values = rng.integers(-layout.largest, layout.largest + 1, count)
    extremes = rng.choice([-layout.largest, 0, layout.largest], count)
    return np.where(rng.random(count) < 0.5, values, extremes)


def weights_of(layout: Layout, rng: np.random.Generator) -> list[int]:
    """A few weights that sum to all that the layout holds."""
    cuts = np.unique(rng.integers(1, layout.weight_total + 1, 4))
    return [int(step) for step in np.diff([0, *cuts[cuts < layout.weight_total], layout.weight_total])]


@given(layouts(), st.integers(1, 10_000), st.integers(0, 2**32), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_sum_of_words_is_the_sum_of_plain_integers(layout: Layout, count: int, seed: int, at_site: bool) -> None:
    rng = np.random.default_rng(seed)
    total, expected = np.zeros(layout.num_chunks(count) * CHUNK_WORDS, np.uint64), np.zeros(count, object)
    for weight in weights_of(layout, rng):
        values = values_of(layout, count, rng)
        # With masks the site multiplies, without them the coordinator does.
        words = layout.pack(values, weight) if at_site else layout.pack(values) * np.uint64(weight)
        total = layout.add_mod(total, words)
        expected += values.astype(object) * weight
    assert layout.unpack_sum(total, layout.weight_total, count).astype(object).tolist() == expected.tolist()


@pytest.mark.parametrize("layout", [TWO_OF_16, FOUR_OF_8, FULL_WORD, Layout(32, 64, 1)], ids=str)
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sum_neither_carries_nor_borrows(layout: Layout, sign: int) -> None:
    values = np.full(layout.values_per_chunk, sign * layout.largest)
    values[:CHUNK_WORDS] *= -1  # the first field of every word against all others
    words = layout.pack(values, layout.weight_total)
    assert (
        layout.unpack_sum(words, layout.weight_total, values.size).tolist() == (values * layout.weight_total).tolist()
    )


def test_a_word_is_what_its_description_says() -> None:
    values = values_of(FOUR_OF_8, 20_000, np.random.default_rng(0))
    words = FOUR_OF_8.pack(values, 3)
    padded = [*values.tolist(), *[0] * (2 * FOUR_OF_8.values_per_chunk - 20_000)]
    for place in (0, 1, 4095, 4096, 8191):
        chunk, column = divmod(place, CHUNK_WORDS)
        fields = [padded[chunk * FOUR_OF_8.values_per_chunk + k * CHUNK_WORDS + column] for k in range(4)]
        assert int(words[place]) == sum(3 * (value + 128) << 11 * k for k, value in enumerate(fields))


@given(st.integers(1, 9000))
@settings(max_examples=20, deadline=None)
def test_padding_looks_like_zeros(count: int) -> None:
    values = np.random.default_rng(count).integers(-99, 100, count)
    padded = np.concatenate([values, np.zeros(-count % TWO_OF_16.values_per_chunk, np.int64)])
    assert np.array_equal(TWO_OF_16.pack(values), TWO_OF_16.pack(padded))


def test_weights_beyond_the_total_are_refused() -> None:
    values = np.zeros(5, np.int64)
    words = TWO_OF_16.pack(values, 64)
    TWO_OF_16.unpack_sum(words, 64, 5)
    for weight in (65, 0, -1):
        with pytest.raises(PlanError, match="weight_total = 64"):
            TWO_OF_16.pack(values, weight)
        with pytest.raises(PlanError, match="weight_total = 64"):
            TWO_OF_16.unpack_sum(words, weight, 5)


@pytest.mark.parametrize("value", [32768, -32768, 2**40])
def test_values_that_do_not_fit_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="16 bits"):
        TWO_OF_16.pack(np.array([0, value]))


@given(layouts(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_masks_cancel_exactly(layout: Layout, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = values_of(layout, 100, rng)
    mask = rng.integers(0, layout.modulus, CHUNK_WORDS, dtype=np.uint64)
    masked = layout.add_mod(layout.pack(values), mask)
    assert int(masked.max()) < layout.modulus
    opened = layout.unpack_sum(layout.subtract_mod(masked, mask), 1, 100)
    assert opened.tolist() == values.tolist()


@pytest.mark.parametrize("total_weight", [1, 64])
def test_a_sum_whose_masks_are_still_on_is_refused(total_weight: int) -> None:
    words = np.random.default_rng(0).integers(0, TWO_OF_16.modulus, CHUNK_WORDS, dtype=np.uint64)
    with pytest.raises(WireError, match="cannot add up"):
        TWO_OF_16.unpack_sum(words, total_weight, 5000)


@pytest.mark.parametrize("beyond", [-1, 1])
def test_a_sum_one_beyond_what_the_weights_reach_is_refused(beyond: int) -> None:
    edge = np.full(TWO_OF_16.values_per_chunk, beyond * TWO_OF_16.largest)
    words = TWO_OF_16.pack(edge, 10)
    TWO_OF_16.unpack_sum(words, 10, edge.size)
    words[7] = int(words[7]) + beyond
    with pytest.raises(WireError, match="cannot add up"):
        TWO_OF_16.unpack_sum(words, 10, edge.size)


@given(layouts(), st.integers(0, 9000), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_words_come_back_from_bytes(layout: Layout, count: int, seed: int) -> None:
    size = layout.num_chunks(count) * CHUNK_WORDS
    words = np.random.default_rng(seed).integers(0, layout.modulus, size, dtype=np.uint64)
    data = layout.to_bytes(words)
    assert len(data) == size * layout.word_bytes
    assert np.array_equal(layout.from_bytes(data, count), words)
    slow = b"".join(int(word).to_bytes(layout.word_bytes, "little") for word in words[:50])
    assert data.startswith(slow)


def test_bytes_of_another_length_are_refused() -> None:
    data = TWO_OF_16.to_bytes(TWO_OF_16.pack(np.zeros(9000, np.int64)))
    for wrong in (b"", data[:-1], data + b"\0", data[: len(data) // 2], data * 2):
        with pytest.raises(WireError, match="should have"):
            TWO_OF_16.from_bytes(wrong, 9000)


@pytest.mark.parametrize("place", [0, 4095])
def test_a_word_that_is_not_below_the_modulus_is_refused(place: int) -> None:
    words = TWO_OF_16.pack(np.zeros(5, np.int64))
    words[place] = TWO_OF_16.modulus - 1
    data = TWO_OF_16.to_bytes(words)
    TWO_OF_16.from_bytes(data, 5)
    words[place] = TWO_OF_16.modulus
    with pytest.raises(WireError, match="44 bits"):
        TWO_OF_16.from_bytes(narrow(words, 6), 5)
    with pytest.raises(ValueError, match="44 bits"):
        TWO_OF_16.to_bytes(words)


def test_words_that_do_not_fill_the_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="4096"):
        TWO_OF_16.unpack_sum(np.zeros(4095, np.uint64), 1, 5)


@given(st.integers(1, 8), st.integers(0, 2**32))
def test_narrow_and_widen_undo_each_other(width: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 2 ** (8 * width), 9, dtype=np.uint64)
    assert widen(narrow(words, width), width).tolist() == words.tolist()


@given(st.integers(2, 32), st.integers(1, 2**20))
def test_the_plain_layout_takes_the_fewest_bytes(bits: int, weight_total: int) -> None:
    chosen = choose_plain(bits, weight_total)
    for fields in range(1, 33):
        try:
            other = Layout(bits, weight_total, fields)
        except PlanError:
            continue
        assert chosen.word_bytes * other.fields <= other.word_bytes * chosen.fields


def test_sizes_that_users_rely_on() -> None:
    assert (TWO_OF_16.field_bits, TWO_OF_16.word_bits, TWO_OF_16.word_bytes) == (22, 44, 6)
    assert (FOUR_OF_8.field_bits, FOUR_OF_8.word_bits, FOUR_OF_8.word_bytes) == (11, 44, 6)
    assert Layout(16, 65, 1).field_bits == 23
    assert choose_plain(8, 8) == Layout(8, 8, 5)


@pytest.mark.parametrize(
    ("bits", "weight_total", "fields"), [(1, 1, 1), (33, 1, 1), (16, 0, 1), (16, 1, 0), (16, 64, 3), (32, 2**33, 1)]
)
def test_layouts_that_cannot_be_are_refused(bits: int, weight_total: int, fields: int) -> None:
    with pytest.raises(PlanError):
        Layout(bits, weight_total, fields)
