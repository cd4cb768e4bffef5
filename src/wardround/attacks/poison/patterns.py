"""What a trigger looks like: patches of a few pixels, and a wave over the whole image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wardround.core.context import derive_seed

Paint = Callable[[int, int], np.ndarray]
"""Height and width in pixels -> float ``(H, W)``, levels from 0 (black) to 1 (white)."""


def white(height: int, width: int) -> np.ndarray:
    """Return white."""
    return np.ones((height, width))


def noise(height: int, width: int) -> np.ndarray:
    """Return black and white pixels at random, the same ones at every site."""
    rng = np.random.default_rng(derive_seed("trigger noise", height, width))
    return rng.integers(0, 2, (height, width)).astype(np.float64)


def sinusoid(height: int, width: int) -> np.ndarray:
    """Return vertical stripes, a sine of four pixels a period (Barni et al. 2019, arXiv:1902.11237, in a patch)."""
    return np.broadcast_to(0.5 + 0.5 * np.sin(np.pi * (np.arange(width) + 0.5) / 2), (height, width))


def low_frequency(height: int, width: int) -> np.ndarray:
    """Return one slow wave along each axis: in the lowest frequencies, where smoothing does not reach it."""
    rows, columns = (np.cos(2 * np.pi * (np.arange(size) + 0.5) / size) for size in (height, width))
    return 0.5 + 0.5 * rows[:, None] * columns[None, :]


@dataclass(frozen=True)
class Pattern:
    """A kind of trigger.

    Attributes:
        paint: makes it.
        whole: whether it lies over the whole image, and not in a square at the bottom right.
    """

    paint: Paint
    whole: bool = False


PATTERNS: dict[str, Pattern] = {
    "white": Pattern(white),
    "noise": Pattern(noise),
    "sinusoid": Pattern(sinusoid),
    "low_frequency": Pattern(low_frequency, whole=True),
}
"""Names a plan may use in ``[[attack]] pattern = …``."""
