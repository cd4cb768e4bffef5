"""What each rule about neighbouring stages prevents; every test first sees the rule refuse the plan."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tiny

from wardround.errors import SiteError
from wardround.protect.clip import clip_to_norm, norm_of
from wardround.protect.int8 import to_codes
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.packing import choose_plain
from wardround.protect.pipeline import Homomorphic, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.scheme import Scheme
from wardround.rounds.opening import Opening

Lift = Callable[..., None]
RNG = np.random.default_rng(0)
WEIGHTS = {"net/a": np.ones(200, np.float32)}
UPDATES = [{"net/a": RNG.normal(0, 0.1, 200).astype(np.float32)} for _ in range(3)]


def staged(*names: str) -> list[dict[str, str]]:
    return [{"stage": name} for name in names]


def test_integers_needed(lift: Lift) -> None:
    """A mask of whole numbers leaves everything behind the point of a real number to be read."""
    lift("integers-needed", tiny.plan(protect=staged("masks")))
    mask = RNG.integers(0, 2**20, 200).astype(np.float64)
    update = UPDATES[0]["net/a"].astype(np.float64)
    seen = (update + mask) % 1.0
    np.testing.assert_allclose(np.where(seen > 0.5, seen - 1, seen), update, atol=1e-9)


def test_reals_needed(lift: Lift) -> None:
    """A clip that takes grid units for weights cuts an update to nothing."""
    lift("reals-needed", tiny.plan(protect=staged("quantise", "clip")))
    grid = Quantise(16).grid(WEIGHTS)
    counted = grid.encode(UPDATES[0], np.random.default_rng(0))[0].astype(np.float64)
    clipped = clip_to_norm({"net/a": counted}, 10.0)[0]["net/a"]
    wrong = grid.decode(np.rint(clipped).astype(np.int64))
    right = clip_to_norm(UPDATES[0], 10.0)[0]
    assert norm_of(right) > 1.0
    assert norm_of(wrong) < 0.001 * norm_of(right)


def test_codes_are_last(lift: Lift) -> None:
    """Codes of two sites count in different units: summed as numbers, the long update weighs no more than the short."""
    lift("codes-are-last", tiny.plan(protect=staged("int8", "quantise", "masks")))
    short, long = UPDATES[0]["net/a"], 100 * UPDATES[1]["net/a"]
    codes, steps = zip(*(to_codes([update], np.random.default_rng(0)) for update in (short, long)), strict=True)
    summed = codes[0].astype(np.float64) + codes[1]
    best = summed * (summed @ (short + long)) / (summed @ summed)  # whichever unit the sum is given
    assert np.linalg.norm(best - (short + long)) > 0.5 * np.linalg.norm(short + long)
    right = codes[0] * steps[0].item() + codes[1] * steps[1].item()
    assert np.linalg.norm(right - (short + long)) < 0.02 * np.linalg.norm(short + long)


def test_masks_are_last(lift: Lift) -> None:
    """Rounding between masking and unmasking is an error of the size of the rounding, on numbers far smaller."""
    lift("masks-are-last", tiny.plan(protect=staged("quantise", "masks", "quantise")))
    layout = choose_plain(16, 2)
    words = layout.pack(Quantise(16).grid(WEIGHTS).encode(UPDATES[0], np.random.default_rng(0))[0])
    mask = RNG.integers(0, 2**62, words.size).astype(np.uint64) % np.uint64(layout.modulus)
    sent = layout.add_mod(words, mask)
    np.testing.assert_array_equal(layout.subtract_mod(sent, mask), words)
    dropped = np.uint64(layout.field_bits)
    rounded = layout.subtract_mod(sent >> dropped << dropped, mask)
    field = np.uint64(2**layout.field_bits - 1)
    assert np.mean((rounded & field) == (words & field)) < 0.01


def test_encryption_is_last(lift: Lift) -> None:
    """One bit of a ciphertext changed as if it were a word: not one word opens to what it was."""
    lift("encryption-is-last", tiny.plan(protect=staged("quantise", "homomorphic", "masks")))
    scheme = Scheme.of(Pipeline((Quantise(), Homomorphic())), 64)
    lattice = scheme.lattice
    assert lattice is not None
    sealer = Sealer(lattice, LatticeKey.new(lattice))
    words = scheme.words(Quantise().grid(WEIGHTS).encode(UPDATES[0], np.random.default_rng(0))[0], 1)
    frame = scheme.seal(words, sealer)

    def opened(sent: bytes) -> np.ndarray:
        total = scheme.running_sum(slice(0, 200))
        total.add(sent)
        return sealer.open(total.frame(), 1)

    np.testing.assert_array_equal(opened(frame), words)
    changed = bytearray(frame)
    changed[0] ^= 1
    assert np.mean(opened(bytes(changed)) == words) < 0.01


def test_one_of_a_kind(lift: Lift) -> None:
    """The opened sum is tested against the wider of two clips: a site that sends fifty times its bound gets through."""
    plan = tiny.plan(protect=[{"stage": "clip", "norm": 5.0}, {"stage": "clip", "norm": 0.1}, tiny.QUANTISE])
    lift("one-of-a-kind", plan)
    tested = plan.pipeline.clip
    assert tested is not None
    grid = plan.pipeline.grid(WEIGHTS, tiny.context())
    scheme = Scheme.of(plan.pipeline, plan.weight_total)
    poison = {"net/a": np.full(200, 5.0 / 200**0.5, np.float32)}
    values = grid.encode(poison, np.random.default_rng(0))[0]
    total = scheme.running_sum(slice(0, values.size))
    total.add(scheme.seal(scheme.words(values, 1), None))
    opening = Opening(scheme, grid, ("east",), 1)
    opening.take(0, total.frame(), None)
    assert norm_of(opening.aggregate(tested.norm).tensors) > 4.9
    with pytest.raises(SiteError, match="honest updates of total weight 1 have at most that"):
        opening.aggregate(0.1)
