"""PSNR, SSIM and RMSE against other implementations, and what a perfect copy scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics.regression import SSIMMetric
from skimage.metrics import peak_signal_noise_ratio

from wardround.metrics.image_quality import METRICS, psnr_db, rmse, score_images, ssim


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
