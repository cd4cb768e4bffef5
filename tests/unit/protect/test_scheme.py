"""Frames: one legal length, parts that put together the whole, and sums that equal those of plain big integers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wardround.errors import PlanError, WireError
from wardround.protect import scheme as module
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.packing import CHUNK_WORDS
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.scheme import Scheme, WordSum

SETTINGS = ((16, 64), (16, 8), (8, 64), (8, 8), (8, 1), (32, 5), (2, 7), (12, 1000))
FEW = ((16, 64), (8, 8), (12, 1000))


@lru_cache
def scheme_of(bits: int, weight_total: int, encrypted: bool) -> Scheme:
    stages = (Quantise(bits, weight_total), *((Homomorphic(),) if encrypted else ()))
    return Scheme.of(Pipeline(stages), weight_total)


@lru_cache
def sealer_of(scheme: Scheme) -> Sealer | None:
    return None if scheme.lattice is None else Sealer(scheme.lattice, LatticeKey.new(scheme.lattice))


def whole(scheme: Scheme, count: int) -> slice:
    (part,) = scheme.parts(count)
    return part


def big_integer_sum(rows: Sequence[np.ndarray], weights: Sequence[int]) -> list[int]:
    """The sum, number by number, in Python's integers."""
    return [
        sum(w * v for w, v in zip(weights, column, strict=True))
        for column in zip(*map(np.ndarray.tolist, rows), strict=True)
    ]


@st.composite
def sums(draw: st.DrawFn, choices: Sequence[tuple[int, int]]) -> tuple[Scheme, list[np.ndarray], list[int]]:
    """A scheme, updates that reach their ends often, and weights that sum to its total at most, often exactly."""
    bits, most = draw(st.sampled_from(choices))
    scheme = scheme_of(bits, most, draw(st.booleans()))
    largest = 2 ** (bits - 1) - 1
    sites = draw(st.integers(1, min(5, most)))
    cuts = sorted(draw(st.sets(st.integers(1, most - 1), max_size=sites - 1))) if most > 1 else []
    ends = [*cuts, most if draw(st.booleans()) else max([1, *cuts]) + draw(st.integers(0, 1))]
    weights = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    assume(min(weights) > 0 and sum(weights) <= most)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.sampled_from([1, 5, scheme.chunk_values - 1, scheme.chunk_values, scheme.chunk_values + 3]))
    rows = [
        rng.choice([rng.integers(-largest, largest + 1, count), np.full(count, largest), np.full(count, -largest)])
        for _ in weights
    ]
    return scheme, rows, weights


@given(sums(SETTINGS), st.booleans())
@settings(max_examples=60)
def test_sums_are_those_of_big_integers(one: tuple[Scheme, list[np.ndarray], list[int]], sites_weigh: bool) -> None:
    """Weighed by the coordinator on the frames, or by the sites before: exactly the same."""
    scheme, rows, weights = one
    part, sealer = whole(scheme, rows[0].size), sealer_of(scheme)
    total = scheme.running_sum(part)
    for values, weight in zip(rows, weights, strict=True):
        frame = scheme.seal(scheme.words(values, weight if sites_weigh else 1), sealer)
        assert len(frame) == scheme.frame_bytes(part)
        total.add(frame, 1 if sites_weigh else weight)
    opened = scheme.opened(total.frame(), part, sum(weights), sealer)
    assert opened.dtype == np.int64
    assert opened.tolist() == big_integer_sum(rows, weights)


@given(sums(FEW), st.integers(0, 2**32))
@settings(max_examples=25)
def test_masks_come_off_the_sum(one: tuple[Scheme, list[np.ndarray], list[int]], seed: int) -> None:
    scheme, rows, weights = one
    part, sealer, rng = whole(scheme, rows[0].size), sealer_of(scheme), np.random.default_rng(seed)
    total, left = scheme.running_sum(part), np.zeros(scheme.num_words(part), np.uint64)
    for values, weight in zip(rows, weights, strict=True):
        mask = rng.integers(0, 2**scheme.word_bits, scheme.num_words(part), np.uint64)
        total.add(scheme.seal(scheme.masked(scheme.words(values, weight), mask), sealer))
        left = (left + mask) & np.uint64(2**scheme.word_bits - 1)
    total.subtract_plain(left)
    assert scheme.opened(total.frame(), part, sum(weights), sealer).tolist() == big_integer_sum(rows, weights)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(("bits", "most"), SETTINGS)
def test_a_weight_beyond_the_total_is_refused(bits: int, most: int, encrypted: bool) -> None:
    scheme = scheme_of(bits, most, encrypted)
    part, sealer, values = whole(scheme, 7), sealer_of(scheme), np.zeros(7, np.int64)
    frame, total = scheme.seal(scheme.words(values, 1), sealer), scheme.running_sum(part)
    with pytest.raises(PlanError, match=f"weight_total = {most}"):
        total.add(frame, most + 1)
    total.add(frame, most)
    before = total.frame()
    with pytest.raises(PlanError, match=f"weight_total = {most}"):
        total.add(frame, 1)
    with pytest.raises(PlanError, match="weight"):
        total.add(frame, -1)
    assert total.frame() == before
    assert scheme.opened(before, part, most, sealer).tolist() == [0] * 7
    for weight in (0, most + 1):
        with pytest.raises(PlanError, match="weight"):
            scheme.words(values, weight)
        with pytest.raises(PlanError, match="weight"):
            scheme.opened(before, part, weight, sealer)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_frame_has_one_legal_length(encrypted: bool) -> None:
    """It follows from the plan alone, whatever is in it; anything else changes nothing."""
    scheme = scheme_of(16, 64, encrypted)
    part, sealer = whole(scheme, 9000), sealer_of(scheme)
    contents = [np.zeros(9000, np.int64), np.full(9000, 32767), np.arange(9000) - 4500]
    frames = [scheme.seal(scheme.words(values, 3), sealer) for values in contents]
    assert {len(frame) for frame in frames} == {scheme.frame_bytes(part)} == {scheme.upload_bytes(9000)}
    total = scheme.running_sum(part)
    total.add(frames[2])
    before = total.frame()
    for bad in (b"", frames[0][:-1], frames[0] + b"\0", frames[0] * 2):
        with pytest.raises(WireError, match=f"should have {scheme.frame_bytes(part)}"):
            total.add(bad)
        with pytest.raises(WireError, match="should have"):
            scheme.opened(bad, part, 3, sealer)
    assert total.frame() == before


def test_a_number_that_no_frame_holds_is_refused() -> None:
    encrypted = scheme_of(16, 64, True)
    part = whole(encrypted, 9000)
    with pytest.raises(WireError, match="not below its prime"):
        encrypted.running_sum(part).add(b"\xff" * encrypted.frame_bytes(part))
    clear = scheme_of(12, 1000, False)
    assert clear.word_bits % 8
    part = whole(clear, 9000)
    with pytest.raises(WireError, match=f"word of more than {clear.word_bits} bits"):
        clear.running_sum(part).add(b"\xff" * clear.frame_bytes(part))


def test_what_no_weights_can_add_up_to_does_not_open() -> None:
    for encrypted in (False, True):
        scheme = scheme_of(16, 64, encrypted)
        part, sealer = whole(scheme, 10), sealer_of(scheme)
        total = scheme.running_sum(part)
        total.add(scheme.seal(scheme.words(np.full(10, 32767), 5), sealer))
        assert scheme.opened(total.frame(), part, 5, sealer).tolist() == [5 * 32767] * 10
        with pytest.raises(WireError, match="weights of 4 in total cannot add up to"):
            scheme.opened(total.frame(), part, 4, sealer)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("chunks", [1, 3])
def test_parts_lie_side_by_side(monkeypatch: pytest.MonkeyPatch, encrypted: bool, chunks: int) -> None:
    monkeypatch.setattr(module, "PART_CHUNKS", chunks)
    scheme = scheme_of(16, 64, encrypted)
    full = chunks * scheme.chunk_values
    for count in (1, full - 1, full, full + 1, 5 * full + 2):
        parts = scheme.parts(count)
        assert [index for part in parts for index in range(part.start, part.stop)] == list(range(count))
        words = [scheme.words_before(part) for part in parts]
        sizes = [scheme.num_words(part) for part in parts]
        assert words == [sum(sizes[:place]) for place in range(len(parts))]  # masks never overlap
        assert all(size % CHUNK_WORDS == 0 for size in sizes)
        assert all(
            scheme.words(np.zeros(p.stop - p.start, np.int64), 1).size == s for p, s in zip(parts, sizes, strict=True)
        )
        assert scheme.upload_bytes(count) == sum(scheme.frame_bytes(part) for part in parts)
    assert scheme.parts(0) == []


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_sum_in_parts_is_the_sum(monkeypatch: pytest.MonkeyPatch, encrypted: bool) -> None:
    monkeypatch.setattr(module, "PART_CHUNKS", 1)
    scheme = scheme_of(16, 64, encrypted)
    sealer, count = sealer_of(scheme), 2 * scheme.chunk_values + 11
    rows = [np.random.default_rng(seed).integers(-32767, 32768, count) for seed in (1, 2)]
    opened = []
    for part in scheme.parts(count):
        total = scheme.running_sum(part)
        for values in rows:
            total.add(scheme.seal(scheme.words(values[part], 1), sealer), 7)
        opened.append(scheme.opened(total.frame(), part, 14, sealer))
    assert np.concatenate(opened).tolist() == big_integer_sum(rows, [7, 7])


def test_ckks_adds_real_numbers_almost_exactly() -> None:
    scheme = Scheme.of(Pipeline((Homomorphic("ckks"),)), 64)
    assert scheme.lattice is not None
    sealer = Sealer(scheme.lattice, LatticeKey.new(scheme.lattice))
    part, rng = whole(scheme, scheme.chunk_values + 5), np.random.default_rng(0)
    rows, weights = [rng.normal(size=part.stop) for _ in range(3)], [1, 20, 43]
    total = scheme.running_sum(part)
    for values, weight in zip(rows, weights, strict=True):
        frame = scheme.seal(scheme.words(values, 1), sealer)
        assert len(frame) == scheme.frame_bytes(part)
        total.add(frame, weight)
    opened = scheme.opened(total.frame(), part, 64, sealer)
    expected = sum(weight * values for weight, values in zip(weights, rows, strict=True))
    assert np.abs(opened - expected).max() <= 64 * scheme.lattice.largest_error
    with pytest.raises(PlanError, match="cannot be opened without its key"):
        scheme.opened(total.frame(), part, 64, None)
    with pytest.raises(PlanError, match="ckks has no words"):
        _ = scheme.word_bits


def test_a_scheme_needs_numbers_to_sum() -> None:
    with pytest.raises(PlanError, match="nothing that could be summed as a frame"):
        Scheme.of(Pipeline(()), 64)
    with pytest.raises(PlanError, match="weight_total"):
        Scheme.of(Pipeline((Quantise(32, 2**20), Homomorphic())), 2**30)


def test_masks_change_neither_layout_nor_length() -> None:
    for stages in ((), (Homomorphic(),)):
        plain = Scheme.of(Pipeline((Quantise(), *stages)), 64)
        masked = Scheme.of(Pipeline((Quantise(), Masks(), *stages)), 64)
        assert masked == plain


def test_the_clear_sum_needs_no_library_for_lattices() -> None:
    assert isinstance(scheme_of(16, 64, False).running_sum(slice(0, 5)), WordSum)
