"""Sites made unlike: what their cameras do to the same kind of image, written down and the same at every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData

Shift = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _as_it_is(levels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return levels


def _gamma_and_gain(levels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return levels**1.8 * np.array([1.0, 0.75, 0.6], np.float32)


def _inverted(levels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 1 - levels


def _blurred_and_noisy(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    blurred = gaussian_filter(levels, sigma=(0, 1.5, 1.5, 0))
    return blurred + rng.normal(0, 0.08, levels.shape).astype(np.float32)


SHIFTS: tuple[Shift, ...] = (_as_it_is, _gamma_and_gain, _inverted, _blurred_and_noisy)
"""The first site in the order of the names has the first, and so on."""


def strengthened(sites: Mapping[str, SiteData]) -> dict[str, SiteData]:
    """Return the sites with shifted images; masks and the split stay. Training and test images of a site alike."""
    parts = [(name, part) for name, data in sites.items() for part in (data.train, data.val, data.test)]
    pixels = np.array(parts[0][1].pixels)  # one block for all, as before
    places = {name: place % len(SHIFTS) for place, name in enumerate(sorted(sites))}
    for name, part in parts:
        for row in part.rows.tolist():  # each image has noise of its own, whatever part it is in
            levels = pixels[row : row + 1].astype(np.float32) / 255
            shifted = SHIFTS[places[name]](levels, np.random.default_rng(row))
            pixels[row] = np.clip(np.rint(255 * shifted), 0, 255).astype(np.uint8)[0]

    def having(part: LabelledImages) -> LabelledImages:
        return replace(part, pixels=pixels)

    return {name: SiteData(*map(having, (data.train, data.val, data.test))) for name, data in sites.items()}
