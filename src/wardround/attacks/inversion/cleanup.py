"""What an attacker does to a reconstruction afterwards: noise that a filter takes away hid nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

CleanUp = Callable[[np.ndarray], np.ndarray]
"""One image ``(H, W, C)`` in ``[0, 1]``, in and out."""


def _as_it_is(image: np.ndarray) -> np.ndarray:
    return image


def _median(image: np.ndarray) -> np.ndarray:
    from scipy.ndimage import median_filter

    filtered: np.ndarray = median_filter(image, size=(3, 3, 1))
    return filtered


def _total_variation(weight: float) -> CleanUp:
    def clean(image: np.ndarray) -> np.ndarray:
        from skimage.restoration import denoise_tv_chambolle

        return np.asarray(denoise_tv_chambolle(image, weight=weight, channel_axis=2))  # type: ignore[no-untyped-call]

    return clean


def _bilateral(image: np.ndarray) -> np.ndarray:
    from skimage.restoration import denoise_bilateral

    picture, axis = _with_axis(image)
    cleaned = denoise_bilateral(
        picture, win_size=3, sigma_color=0.1, sigma_spatial=1, channel_axis=axis, mode="reflect"
    )
    return np.reshape(cleaned, image.shape)


def _non_local_means(image: np.ndarray) -> np.ndarray:
    from skimage.restoration import denoise_nl_means

    picture, axis = _with_axis(image)
    cleaned = denoise_nl_means(picture, patch_size=3, patch_distance=5, h=0.06, channel_axis=axis)
    return np.reshape(cleaned, image.shape)


def _with_axis(image: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Return an image as scikit-image wants it: grey ones have no axis for channels."""
    return (image, 2) if image.shape[2] > 1 else (image[..., 0], None)


CLEAN_UPS: dict[str, CleanUp] = {
    "none": _as_it_is,
    "median": _median,
    "tv_weak": _total_variation(0.03),
    "tv_strong": _total_variation(0.1),
    "bilateral": _bilateral,
    "nl_means": _non_local_means,
}
"""All are tried, and the one that comes nearest to the true image counts: an attacker may be lucky."""


def cleaned(image: np.ndarray, more: Mapping[str, CleanUp] = MappingProxyType({})) -> dict[str, np.ndarray]:
    """Return every clean-up of an image by name, each cut off at 0 and 1; `more` joins those that need no training."""
    every = {**CLEAN_UPS, **more}
    return {name: np.clip(clean(image), 0, 1).astype(np.float32) for name, clean in every.items()}
