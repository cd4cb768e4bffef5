"""How close a restored image is to the clean one: PSNR, SSIM, MS-SSIM and RMSE, on grey levels from 0 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.metrics.clinical import FloatArray
from wardround.metrics.scores import Scores

METRICS = ("psnr_db", "ssim", "rmse", "gain_db")
WINDOW_PX = 11
"""Edge of the window of SSIM: smaller images have none."""
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of MS-SSIM's scales, the finest first (Wang et al. 2003, section 3.2)."""
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


def ms_ssim(clean: FloatArray, restored: FloatArray) -> float:
    """Return the multi-scale structural similarity of two images ``(H, W, C)`` (Wang et al. 2003, Asilomar, eq. 7).

    Contrast and structure are compared at every scale, luminance at the coarsest; each scale is the mean over 2 x 2
    pixels of the one before, and counts by the paper's exponent for it. Differs: only scales that the window of 11
    pixels fits into are taken, and their exponents scaled to sum 1: two at 32 px, three at 64, the paper's five from
    176. So values of images of different sizes do not compare. A negative similarity counts as 0.

    Raises:
        ValueError: an edge is shorter than the window.
    """
    images = np.asarray(clean, np.float64), np.asarray(restored, np.float64)
    edge = min(images[0].shape[:2])
    if edge < WINDOW_PX:
        raise ValueError(f"an edge of {edge} px is shorter than the window of {WINDOW_PX}")
    fitting = sum(edge >> scale >= WINDOW_PX for scale in range(len(SCALE_WEIGHTS)))
    weights = SCALE_WEIGHTS[:fitting]
    found = 1.0
    for scale, weight in enumerate(weights, 1):
        luminance, structure = _compared(*images)
        similarity = (luminance * structure if scale == fitting else structure).mean()
        found *= max(float(similarity), 0.0) ** (weight / sum(weights))
        images = _halved(images[0]), _halved(images[1])
    return found


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


def _compared(clean: FloatArray, restored: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the two factors of SSIM wherever the whole window lies inside the images."""
    from scipy.ndimage import gaussian_filter

    inside = (slice(WINDOW_PX // 2, -(WINDOW_PX // 2)),) * 2

    def local(values: FloatArray) -> FloatArray:
        mean: FloatArray = gaussian_filter(values, 1.5, radius=WINDOW_PX // 2, axes=(0, 1))
        return mean[inside]

    x, y = local(clean), local(restored)
    variances = local(clean**2) - x**2 + local(restored**2) - y**2
    covariance = local(clean * restored) - x * y
    flat, faint = 0.01**2, 0.03**2
    luminance = (2 * x * y + flat) / (x**2 + y**2 + flat)
    return luminance, (2 * covariance + faint) / (variances + faint)


def _halved(image: FloatArray) -> FloatArray:
    """Return the mean over 2 x 2 pixels; an odd last row or column is left out."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    squares = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return np.asarray(squares.mean((1, 3)))
