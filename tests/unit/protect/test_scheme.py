"""Frames: one legal length, and sums that equal plain integers whatever carries them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import PlanError, WireError
from wardround.protect.clip import Clip
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.scheme import Scheme

PIPELINES = {
    "clear": Pipeline((Quantise(8),)),
    "masked": Pipeline((Quantise(16), Masks())),
    "packed": Pipeline((Quantise(16), Homomorphic())),
    "packed, 8 bits": Pipeline((Quantise(8), Masks(), Homomorphic())),
}


def sealer_of(scheme: Scheme) -> Sealer | None:
    return Sealer(scheme.lattice, LatticeKey.new(scheme.lattice)) if scheme.lattice else None


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 9000), st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_a_sum_of_frames_is_the_sum_of_integers(pipeline: Pipeline, weights: list[int], count: int, seed: int) -> None:
    """Up to the stated sum of weights, one more is refused; the reference is Python's own integers."""
    rng, total = np.random.default_rng(seed), sum(weights)
    scheme = Scheme.of(pipeline, total)
    assert pipeline.quantise is not None
    largest, sealer, part = pipeline.quantise.largest, sealer_of(scheme), slice(0, count)
    updates = [rng.choice([-largest, largest, 0, int(rng.integers(-largest, largest))], count) for _ in weights]
    running = scheme.running_sum(part)
    for update, weight in zip(updates, weights, strict=True):
        frame = scheme.seal(scheme.words(update, 1), sealer)
        assert len(frame) == scheme.frame_bytes(part)
        running.add(frame, weight)
    with pytest.raises(PlanError, match="weight"):
        running.add(frame, 1)
    found = scheme.opened(running.frame(), part, total, sealer)
    places = rng.integers(0, count, 50)
    expected = [sum(w * int(u[place]) for w, u in zip(weights, updates, strict=True)) for place in places]
    assert found[places].tolist() == expected


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_a_site_may_weigh_its_own_words_and_masks_come_off(pipeline: Pipeline) -> None:
    scheme, rng = Scheme.of(pipeline, 64), np.random.default_rng(0)
    sealer, part = sealer_of(scheme), slice(0, 5000)
    updates = rng.integers(-100, 100, (2, 5000))
    masks = rng.integers(0, 2**scheme.word_bits, (2, scheme.num_words(part)), dtype=np.uint64)
    running = scheme.running_sum(part)
    for update, weight, mask in zip(updates, (40, 24), masks, strict=True):
        running.add(scheme.seal(scheme.masked(scheme.words(update, weight), mask), sealer))
    for mask in masks:
        running.subtract_plain(mask)
    found = scheme.opened(running.frame(), part, 64, sealer)
    np.testing.assert_array_equal(found, 40 * updates[0] + 24 * updates[1])


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_a_frame_has_one_legal_length(pipeline: Pipeline) -> None:
    scheme, part = Scheme.of(pipeline, 64), slice(0, 100)
    frame = scheme.seal(scheme.words(np.zeros(100, np.int64), 1), sealer_of(scheme))
    running = scheme.running_sum(part)
    for wrong in (b"", frame[:-1], frame + b"\0", frame * 2):
        with pytest.raises(WireError):
            running.add(wrong)
    running.add(frame)


@given(st.integers(1, 10**7), st.sampled_from(sorted(PIPELINES)))
@settings(max_examples=50, deadline=None)
def test_parts_cover_every_value_once(count: int, name: str) -> None:
    scheme = Scheme.of(PIPELINES[name], 64)
    parts = scheme.parts(count)
    assert [parts[0].start, parts[-1].stop] == [0, count]
    assert all(one.stop == other.start for one, other in itertools.pairwise(parts))
    words = [scheme.words_before(part) for part in parts]
    assert words == [sum(scheme.num_words(part) for part in parts[:place]) for place in range(len(parts))]
    assert scheme.upload_bytes(count) == sum(scheme.frame_bytes(part) for part in parts)


def test_ckks_is_near() -> None:
    scheme, rng = Scheme.of(Pipeline((Clip(), Homomorphic("ckks"))), 64), np.random.default_rng(0)
    sealer, part = sealer_of(scheme), slice(0, 6000)
    update = rng.normal(size=6000)
    running = scheme.running_sum(part)
    running.add(scheme.seal(scheme.words(update, 1), sealer), 3)
    assert scheme.lattice is not None
    error = np.abs(scheme.opened(running.frame(), part, 3, sealer) - 3 * update).max()
    assert 0 < error < 3 * scheme.lattice.largest_error


def test_a_pipeline_without_integers_has_no_frames() -> None:
    with pytest.raises(PlanError, match="no quantise stage"):
        Scheme.of(Pipeline((Clip(),)), 64)
