"""PSNR, SSIM, MS-SSIM and RMSE against other implementations, and what a perfect copy scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics.regression import MultiScaleSSIMMetric, SSIMMetric
from skimage.metrics import peak_signal_noise_ratio

from wardround.metrics.image_quality import METRICS, SCALE_WEIGHTS, ms_ssim, psnr_db, rmse, score_images, ssim


def pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    clean = np.cumsum(rng.normal(size=(24, 20, 1)), axis=0)
    clean = (clean - clean.min()) / np.ptp(clean)
    return clean, np.clip(clean + rng.normal(0, 0.1, clean.shape), 0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_scikit_image_and_monai(seed: int) -> None:
    clean, restored = pair(seed)
    assert psnr_db(clean, restored) == pytest.approx(peak_signal_noise_ratio(clean, restored, data_range=1))
    assert rmse(clean, restored) == pytest.approx(np.linalg.norm(clean - restored) / np.sqrt(clean.size))
    oracle = SSIMMetric(spatial_dims=2, data_range=1.0, kernel_type="gaussian", win_size=11, kernel_sigma=1.5)
    both = (torch.from_numpy(array.transpose(2, 0, 1)[None]) for array in (restored, clean))
    assert ssim(clean, restored) == pytest.approx(float(oracle(*both)), abs=1e-5)


@pytest.mark.parametrize(("height", "width", "scales"), [(11, 20, 1), (32, 33, 2), (64, 45, 3), (180, 176, 5)])
def test_ms_ssim_is_that_of_monai_with_the_weights_of_the_scales_that_fit(height: int, width: int, scales: int) -> None:
    rng = np.random.default_rng(height)
    clean = np.cumsum(rng.normal(size=(height, width, 3)), axis=0)
    clean = (clean - clean.min()) / np.ptp(clean)
    restored = np.clip(0.8 * clean + rng.normal(0, 0.1, clean.shape), 0, 1)
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    oracle = MultiScaleSSIMMetric(spatial_dims=2, data_range=1.0, weights=weights.tolist())
    both = (torch.from_numpy(array.transpose(2, 0, 1)[None]) for array in (restored, clean))
    assert ms_ssim(clean, restored) == pytest.approx(float(oracle(*both)), abs=1e-5)


def test_ms_ssim_with_one_scale_is_ssim() -> None:
    clean, restored = (image[:21] for image in pair(4))
    assert ms_ssim(clean, restored) == pytest.approx(ssim(clean, restored), abs=1e-12)


def test_ms_ssim_forgives_fine_noise_and_refuses_what_the_window_does_not_fit() -> None:
    clean = np.repeat(np.repeat(pair(5)[0], 2, 0), 2, 1)
    restored = clean + np.random.default_rng(5).normal(0, 0.05, clean.shape)
    assert ms_ssim(clean, clean) == pytest.approx(1)
    assert ms_ssim(clean, 1 - clean) == 0
    assert ssim(clean, restored) < ms_ssim(clean, restored) < 1
    with pytest.raises(ValueError, match="shorter than the window"):
        ms_ssim(clean[:10], restored[:10])


def test_a_perfect_copy_has_a_finite_psnr() -> None:
    clean, _ = pair(1)
    assert (psnr_db(clean, clean), ssim(clean, clean), rmse(clean, clean)) == (100, pytest.approx(1), 0)


def test_the_gain_is_over_what_was_seen_and_answers_are_clipped_as_a_display_would() -> None:
    (clean, seen), (_, other) = pair(1), pair(2)
    stacked = (np.stack([clean, clean]), np.stack([seen, other]), np.stack([clean + 5.0 * (clean == 1), seen]))
    found = score_images(*stacked, np.array(["a", "b"]))
    assert tuple(found.values) == METRICS
    assert found.values["psnr_db"][0] == 100
    expected = psnr_db(clean, seen) - psnr_db(clean, other)
    assert found.values["gain_db"][1] == pytest.approx(expected)
    assert len(score_images(*(array[:0] for array in stacked), np.array([], str))) == 0
