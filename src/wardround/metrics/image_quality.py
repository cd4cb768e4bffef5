"""How close a restored image is to the clean one: PSNR, SSIM and RMSE, on grey levels from 0 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.metrics.clinical import FloatArray
from wardround.metrics.scores import Scores

METRICS = ("psnr_db", "ssim", "rmse", "gain_db")
WINDOW_PX = 11
"""Edge of the window of SSIM: smaller images have none."""
LEAST_RMSE = 1e-5
"""Below it an image counts as this close, so that PSNR ends at 100 dB and stays finite for a perfect copy."""


def rmse(clean: FloatArray, restored: FloatArray) -> float:
    """Return the root of the mean squared difference of two images of one shape."""
    return float(np.sqrt(np.mean((np.asarray(clean, np.float64) - restored) ** 2)))


def psnr_db(clean: FloatArray, restored: FloatArray) -> float:
    """Return the peak signal-to-noise ratio, ``-20 log10(RMSE)`` for a peak of 1; at most 100 dB."""
    return float(-20 * np.log10(max(rmse(clean, restored), LEAST_RMSE)))


def ssim(clean: FloatArray, restored: FloatArray) -> float:
    """Return the structural similarity of two images ``(H, W, C)`` (Wang et al. 2004, IEEE TIP 13(4)).

    Gaussian window with a standard deviation of 1.5 pixels, 11 pixels wide, as in the paper; mean over channels.

    Raises:
        ValueError: an edge is shorter than the window.
    """
    from skimage.metrics import structural_similarity

    found = structural_similarity(  # type: ignore[no-untyped-call]
        np.asarray(clean, np.float64),
        np.asarray(restored, np.float64),
        data_range=1.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(found)


def score_images(clean: FloatArray, seen: FloatArray, restored: FloatArray, groups: NDArray[Any]) -> Scores:
    """Score N restored images; ``gain_db`` is by how much the PSNR exceeds that of what was seen.

    Args:
        clean: ``(N, H, W, C)`` in [0, 1].
        seen: the same, degraded: what the network was fed.
        restored: ``(N, H, W, C)``; what lies outside [0, 1] is brought to the nearer end first, as a display would.
        groups: str ``(N,)``.
    """
    shown = np.clip(restored, 0, 1)
    rows = [_row(*images) for images in zip(clean, seen, shown, strict=True)]
    table = np.reshape(np.asarray(rows, np.float64), (len(groups), len(METRICS)))
    return Scores({name: table[:, column].copy() for column, name in enumerate(METRICS)}, groups)


def _row(clean: FloatArray, seen: FloatArray, restored: FloatArray) -> list[float]:
    found = psnr_db(clean, restored)
    return [found, ssim(clean, restored), rmse(clean, restored), found - psnr_db(clean, seen)]
