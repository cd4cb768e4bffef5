"""Integers with shares of noise: what a unit can move, how much noise the sum has, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import PlanError, SiteError
from wardround.privacy import DiscreteGaussian
from wardround.privacy.words import Words
from wardround.protect.noise import NoiseScale
from wardround.protect.noisy_grid import LEAST_DEVIATION, NoisyGrid
from wardround.protect.row import Row

ROW = Row({"net/a": (40, 50), "net/b": (), "stat/c": (7,)})
SITE = NoiseScale(2.0, 4.0, 1.0, whole_site=True, seeded=True)
RECORD = NoiseScale(2.0, 1.0, 0.1, whole_site=False, seeded=True)
FAILURE = 1e-15


def grid(scale: NoiseScale, bits: int = 18, bound: float = 4.0, row: Row = ROW) -> NoisyGrid:
    return NoisyGrid(row, scale, bound, bits, shares=3, most_sites=64, failure=FAILURE)


def update(norm: float, seed: int = 0, row: Row = ROW) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    tensors = {name: rng.normal(size=shape) for name, shape in row.shapes.items()}
    length = math.sqrt(sum(float(np.sum(np.square(value))) for value in tensors.values()))
    return {name: np.asarray(value * norm / length) for name, value in tensors.items()}


@pytest.mark.parametrize(("scale", "covered"), [(SITE, 2008), (RECORD, 2001)])
def test_a_sum_of_shares_is_the_sum_with_noise_of_the_promised_size(scale: NoiseScale, covered: int) -> None:
    made = grid(scale)
    total, plain = np.zeros(made.num_values, np.int64), np.zeros(made.num_values)
    for site in range(3):
        change = update(4.0, site)
        values, event = made.encode(change, Words(site))
        assert event == made.event
        assert np.abs(values).max() <= made.largest
        total += values
        plain += made.row.values(change, np.float64)
    noise = made.row.values(made.decode(total), np.float64) - plain
    assert np.count_nonzero(made.row.values(made.decode(total), np.float64)) == covered
    deviation = noise[: 2001 if covered == 2001 else None].std()
    assert deviation == pytest.approx(scale.multiplier * scale.sensitivity, rel=0.06)
    assert deviation >= 0.94 * scale.multiplier * scale.sensitivity


def test_what_does_not_change_gets_no_noise_and_no_update_either() -> None:
    values, _ = grid(RECORD).encode(update(4.0), Words(0))
    assert not np.any(grid(RECORD).decode(values)["stat/c"])
    values, _ = grid(SITE).encode(update(4.0), Words(0))
    assert np.any(grid(SITE).decode(values)["stat/c"])


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.01, 1.0), st.integers(11, 15))
def test_with_the_same_coins_a_record_moves_rounded_sums_within_the_inflated_bound(
    seed: int, share: float, bits: int
) -> None:
    made = grid(RECORD, bits=bits)
    values = made.row.values(update(3.0, seed), np.float64)
    moved = values + made.row.values(update(share, seed + 1), np.float64)
    one, other = (made._rounded(v[made._covered] / made.step, Words(seed)) for v in (values, moved))
    assert np.linalg.norm((one - other).astype(float)) <= made._distance(made.step)


def test_without_the_inflation_rounding_would_move_a_sum_too_far() -> None:
    """The positive control of the test above: at few bits a rounded sum moves by more than the record itself."""
    made = grid(RECORD, bits=11)
    values = made.row.values(update(3.0), np.float64)
    moved = values + made.row.values(update(1.0, 1), np.float64)
    one, other = (made._rounded(v[made._covered] / made.step, Words(0)) for v in (values, moved))
    assert np.linalg.norm((one - other).astype(float)) > 1.05 * RECORD.sensitivity / made.step


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(11, 20))
def test_a_whole_site_is_rounded_again_until_it_is_within_the_inflated_bound(seed: int, bits: int) -> None:
    made = grid(SITE, bits=bits)
    rounded = made._rounded(made.row.values(update(4.0, seed), np.float64) / made.step, Words(seed))
    assert np.linalg.norm(rounded.astype(float)) <= made._distance(made.step)
    assert 4.0 / made.step <= made._distance(made.step) <= 4.0001 / made.step + math.sqrt(ROW.length)


def test_rounding_is_right_on_average() -> None:
    made = grid(RECORD, bits=11)
    values = made.row.values(update(3.0), np.float64)[made._covered] / made.step
    mean = np.mean([made._rounded(values, Words(seed)) for seed in range(400)], axis=0)
    assert np.abs(mean - values).max() < 5 * 0.5 / math.sqrt(400)


def test_an_update_beyond_its_clip_gets_no_noise_at_all() -> None:
    with pytest.raises(SiteError, match="longer than its clip"):
        grid(SITE).encode(update(4.001), Words(0))
    with pytest.raises(SiteError, match="longer than its clip"):
        grid(SITE).encode({name: value * np.nan for name, value in update(4.0).items()}, Words(0))


def test_noise_is_never_below_what_the_event_says() -> None:
    made = grid(SITE)
    assert math.sqrt(3 * made.variance) >= SITE.multiplier * made._distance(made.step)
    assert made.step == 2.0 ** round(math.log2(made.step))
    assert math.sqrt(made.variance) >= LEAST_DEVIATION
    event = made.event
    assert isinstance(event, DiscreteGaussian)
    assert event.failure == FAILURE
    assert event.gap < 1e-100


def test_more_bits_make_a_finer_grid() -> None:
    assert grid(SITE, bits=16).step > grid(SITE, bits=20).step
    assert grid(SITE, bits=16)._distance(grid(SITE, bits=16).step) * grid(SITE, bits=16).step > 4.0


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_too_few_bits_are_refused(bits: int) -> None:
    with pytest.raises(PlanError, match="raise bits"):
        _ = grid(SITE, bits=bits).step


def test_the_range_has_room_for_update_and_noise() -> None:
    made = grid(RECORD)
    reach = math.sqrt(2 * made.variance * math.log(4 * 2001 * 64 / FAILURE))
    assert 4.0 / made.step + 1 + reach <= made.largest
    half = replace(made)
    assert not half._fits(made.step / 2)


def test_an_honest_sum_passes_the_norm_test_and_a_foreign_one_does_not() -> None:
    made = grid(SITE)
    total = sum(made.encode(update(4.0, site), Words(site))[0] for site in range(3))
    norm = float(np.linalg.norm(made.row.values(made.decode(np.asarray(total)), np.float64)))
    assert norm <= 3 * made.norm_bound(None)
    assert made.norm_bound(None) < 0.2 * made.largest * made.step * math.sqrt(ROW.length)


def test_shared_places_leave_less_to_hide() -> None:
    row = replace(ROW, places=np.arange(0, 2008, 4))
    values, _ = grid(SITE, row=row).encode(update(4.0), Words(0))
    assert values.size == 502
