"""How well a predicted mask fits: Dice, IoU and the 95th percentile of the distance between the borders.

What an empty mask scores is a convention, and here it is: where truth and prediction are both empty, they agree (Dice
1, IoU 1, distance 0); where one of them is, they have nothing in common (Dice 0, IoU 0, and as distance the diagonal of
the image, the largest there is). So every image counts in every mean, and a network that predicts nothing gains
nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.metrics.clinical import FloatArray
from wardround.metrics.scores import Scores

Mask = NDArray[np.bool_]

METRICS = ("dice", "iou", "hd95_px", "hd95_mm")
PERCENTILE = 95


def dice(truth: Mask, predicted: Mask) -> float:
    """Return ``2 |A ∩ B| / (|A| + |B|)`` of two masks ``(H, W)``; 1 where both are empty (Dice 1945)."""
    total = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / total if total else 1.0


def iou(truth: Mask, predicted: Mask) -> float:
    """Return ``|A ∩ B| / |A ∪ B|`` of two masks ``(H, W)``; 1 where both are empty (Jaccard 1912)."""
    union = int((truth | predicted).sum())
    return int((truth & predicted).sum()) / union if union else 1.0


def hd95(truth: Mask, predicted: Mask, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
    """Compute the 95th percentile of the Hausdorff distance between the borders of two masks.

    A border is what erosion by the four neighbours takes away; beyond the image there is background. From each pixel
    of one border the distance to the nearest of the other is taken, of these the 95th percentile, and of the two
    directions the larger one (Huttenlocher et al. 1993, with a percentile in place of the maximum).

    Args:
        truth: ``(H, W)``.
        predicted: ``(H, W)``.
        spacing: distance between rows and between columns; the result is in its unit.

    Returns:
        0 where both masks are empty, the diagonal of the image where one of them is.
    """
    if not truth.any() or not predicted.any():
        reach = np.hypot((truth.shape[0] - 1) * spacing[0], (truth.shape[1] - 1) * spacing[1])
        return float(reach) if truth.any() or predicted.any() else 0.0
    borders = _border(truth), _border(predicted)
    return max(_reach(borders[0], borders[1], spacing), _reach(borders[1], borders[0], spacing))


def score_masks(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], regions: int, spacing_mm: FloatArray, groups: NDArray[Any]
) -> Scores:
    """Score N predicted masks; each number is the mean over all regions but the background.

    Args:
        truth: ``(N, H, W)``, 0 is the background.
        predicted: ``(N, H, W)``.
        regions: number of regions with the background, 2 or more.
        spacing_mm: ``(N, 2)``, NaN where it is unknown; there ``hd95_mm`` is not defined.
        groups: str ``(N,)``.

    Returns:
        `METRICS` of each image; ``hd95_px`` counts pixels of the images as they are given, squared or not.
    """
    rows = [
        np.mean([_row(actual == region, said == region, spacing) for region in range(1, regions)], axis=0)
        for actual, said, spacing in zip(truth, predicted, spacing_mm, strict=True)
    ]
    table = np.reshape(np.asarray(rows, np.float64), (len(groups), len(METRICS)))
    return Scores({name: table[:, column].copy() for column, name in enumerate(METRICS)}, groups)


def _row(truth: Mask, predicted: Mask, spacing_mm: FloatArray) -> list[float]:
    in_mm = np.nan if np.isnan(spacing_mm).any() else hd95(truth, predicted, (spacing_mm[0], spacing_mm[1]))
    return [dice(truth, predicted), iou(truth, predicted), hd95(truth, predicted), in_mm]


def _border(mask: Mask) -> Mask:
    from scipy.ndimage import binary_erosion

    return np.asarray(mask & ~binary_erosion(mask))


def _reach(here: Mask, there: Mask, spacing: tuple[float, float]) -> float:
    from scipy.ndimage import distance_transform_edt

    return float(np.percentile(distance_transform_edt(~there, sampling=spacing)[here], PERCENTILE))
