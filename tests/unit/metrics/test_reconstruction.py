from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from victims import pictures

from wardround.metrics.image_quality import psnr_db
from wardround.metrics.reconstruction import coarse_copy, corrected_psnr_db, identity_rank, pairing


@given(st.permutations(range(5)))
def test_a_batch_in_any_order_is_put_back(order: list[int]) -> None:
    true = pictures(5)
    found = true[order] + 0.01
    assert np.array_equal(found[pairing(true, found)], true + np.float32(0.01))


def test_images_that_were_not_found_have_no_place() -> None:
    true = pictures(3)
    assert pairing(true, true[2:]).tolist() == [-1, -1, 0]
    assert pairing(true, true[:0]).tolist() == [-1, -1, -1]


@given(st.floats(0.3, 1.5), st.floats(-0.2, 0.2))
def test_gain_and_offset_hide_nothing(gain: float, offset: float) -> None:
    true = pictures(1)[0].astype(np.float64)
    assert corrected_psnr_db(true, gain * true + offset) > 90


def test_the_correction_never_makes_it_worse_and_knows_no_negatives() -> None:
    true, other = pictures(2).astype(np.float64)
    assert corrected_psnr_db(true, other) >= psnr_db(true, other)
    assert corrected_psnr_db(true, 1 - true) == pytest.approx(psnr_db(true, np.full_like(true, true.mean())))
    assert corrected_psnr_db(true, np.zeros_like(true)) == pytest.approx(psnr_db(true, np.full_like(true, true.mean())))


def test_the_rank_is_the_place_among_the_pool() -> None:
    pool = pictures(20)
    noise = np.random.default_rng(0).normal(0, 0.05, pool[7].shape)
    assert identity_rank(0.5 * pool[7] + 0.2 + noise, pool, 7) == 1
    assert identity_rank(pool[3], pool, 7) > 1
    assert identity_rank(np.full_like(pool[0], 0.5), pool, 7) == len(pool)


def test_a_coarse_copy_keeps_means_and_loses_detail() -> None:
    image = np.random.default_rng(0).random((10, 9, 3))
    copy = coarse_copy(image, 4)
    assert copy.mean() == pytest.approx(image.mean())
    assert np.ptp(copy[:4, :4, 0]) == 0
    assert np.allclose(copy[8:, 8:], image[8:, 8:].mean((0, 1)))
