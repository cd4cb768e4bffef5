"""Dice, IoU and HD95 against MONAI, and what empty masks score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou

from wardround.metrics.segmentation import METRICS, dice, hd95, iou, score_masks

MASKS = arrays(np.bool_, (9, 7))
UNKNOWN = np.full((1, 2), np.nan)


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    grid = np.indices((40, 32))
    found = []
    for _ in range(2):
        middle, radius = rng.uniform(10, 22, (2, 1, 1)), rng.uniform(4, 9, (2, 1, 1))
        found.append((((grid - middle) / radius) ** 2).sum(axis=0) < 1)
    return found[0], found[1]


def batched(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI calls itself by an old argument
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 2.5)])
def test_they_are_those_of_monai(seed: int, spacing: tuple[float, float]) -> None:
    truth, predicted = blobs(seed)
    both = batched(predicted), batched(truth)
    assert dice(truth, predicted) == pytest.approx(float(compute_dice(*both)), abs=1e-6)
    assert iou(truth, predicted) == pytest.approx(float(compute_iou(*both)), abs=1e-6)
    expected = float(compute_hausdorff_distance(*both, include_background=True, percentile=95, spacing=list(spacing)))
    assert hd95(truth, predicted, spacing) == pytest.approx(expected, rel=1e-5)


def test_a_shifted_square_lies_as_far_as_it_was_shifted() -> None:
    truth, moved = np.zeros((2, 30, 30), bool)
    truth[5:15, 5:15], moved[8:18, 5:15] = True, True
    assert dice(truth, moved) == pytest.approx(0.7)
    assert iou(truth, moved) == pytest.approx(70 / 130)
    assert hd95(truth, moved) == 3
    assert hd95(truth, moved, (2.0, 1.0)) == 6


def test_two_empty_masks_agree_and_one_has_nothing_in_common() -> None:
    empty, full = np.zeros((4, 5), bool), np.ones((4, 5), bool)
    assert (dice(empty, empty), iou(empty, empty), hd95(empty, empty)) == (1, 1, 0)
    for pair in ((empty, full), (full, empty)):
        assert (dice(*pair), iou(*pair)) == (0, 0)
        assert hd95(*pair, (3.0, 1.0)) == pytest.approx(np.hypot(9, 4))


@given(MASKS, MASKS)
def test_they_are_symmetric_bounded_and_ordered(first: np.ndarray, second: np.ndarray) -> None:
    assert 0 <= iou(first, second) <= dice(first, second) <= 1
    assert dice(first, second) == dice(second, first)
    assert hd95(first, second) == hd95(second, first)
    assert 0 <= hd95(first, second) <= np.hypot(8, 6)


@given(MASKS)
def test_a_mask_fits_itself(mask: np.ndarray) -> None:
    assert (dice(mask, mask), iou(mask, mask), hd95(mask, mask)) == (1, 1, 0)


def test_millimetres_are_told_where_the_spacing_is_known() -> None:
    truth, predicted = (np.stack([mask, mask]).astype(np.uint8) for mask in blobs(1))
    spacing_mm = np.array([[np.nan, np.nan], [0.5, 0.5]])
    found = score_masks(truth, predicted, 2, spacing_mm, np.array(["a", "b"]))
    assert tuple(found.values) == METRICS
    assert np.isnan(found.values["hd95_mm"][0])
    assert found.values["hd95_mm"][1] == pytest.approx(0.5 * found.values["hd95_px"][1])


def test_regions_are_averaged_and_the_background_is_none() -> None:
    truth = np.zeros((1, 6, 6), np.uint8)
    truth[0, :2], truth[0, 2:4] = 1, 2
    predicted = np.where(truth == 2, 0, truth).astype(np.uint8)  # finds region 1, misses region 2
    found = score_masks(truth, predicted, 3, UNKNOWN, np.array(["a"]))
    assert found.values["dice"][0] == pytest.approx(0.5)
    assert len(score_masks(truth[:0], truth[:0], 3, UNKNOWN[:0], np.array([], str))) == 0
