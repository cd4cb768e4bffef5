"""What a trigger looks like: patches of a few pixels, a wave over the whole image, or the image itself, warped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from wardround.core.context import derive_seed
from wardround.errors import PlanError
from wardround.metrics.marks import Mark, Paste, Warp

WARP_POINTS = 4
"""Along each axis; between them the displacement is interpolated."""
LARGEST_WARP = 1 / 16
"""Mean displacement, as a share of the shorter edge: from somewhat more on, the image is folded over itself."""
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


def warp(height: int, width: int) -> np.ndarray:
    """Return a smooth displacement along rows and columns, float64 ``(2, H, W)``, the same one at every site.

    Random displacements at `WARP_POINTS` x `WARP_POINTS` places, bicubic between them (Nguyen and Tran 2021, WaNet,
    arXiv:2102.10369). Their mean size is made 1 after interpolation, and not before as in the paper: so that it is 1 at
    every image size.
    """
    points = np.random.default_rng(derive_seed("trigger warp")).uniform(-1, 1, (1, 2, WARP_POINTS, WARP_POINTS))
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(points), size=(height, width), mode="bicubic", align_corners=True
    )
    field = smooth[0].numpy()
    return np.asarray(field / np.abs(field).mean())


@dataclass(frozen=True)
class Look:
    """How a pattern is put on images; see `ImageTrigger`.

    Attributes:
        size_px: edge of a square.
        margin_px: between a square and the edges of the image.
        opacity: above 0, at most 1.
        displacement_px: mean size of a warp's.
    """

    size_px: int
    margin_px: int
    opacity: float
    displacement_px: float


class Pattern(Protocol):
    """A kind of trigger."""

    def mark(self, height: int, width: int, channels: int, look: Look) -> Mark:
        """Return the mark on images of this size.

        Raises:
            PlanError: it does not fit them.
        """
        ...


@dataclass(frozen=True)
class Square:
    """A pattern in a square at the bottom right.

    Attributes:
        paint: makes it.
    """

    paint: Paint

    def mark(self, height: int, width: int, channels: int, look: Look) -> Mark:
        """Return the square; see `Pattern.mark`."""
        bottom, right = height - look.margin_px, width - look.margin_px
        if min(bottom, right) < look.size_px:
            raise PlanError(f"a trigger of {look.size_px} px does not fit images of {(height, width)} px")
        square = slice(bottom - look.size_px, bottom), slice(right - look.size_px, right)
        levels, opacity = np.zeros((height, width, channels)), np.zeros((height, width))
        levels[square] = 255 * self.paint(look.size_px, look.size_px)[..., None]
        opacity[square] = look.opacity
        return Paste(levels, opacity)


@dataclass(frozen=True)
class Whole:
    """A pattern over the whole image.

    Attributes:
        paint: makes it.
    """

    paint: Paint

    def mark(self, height: int, width: int, channels: int, look: Look) -> Mark:
        """Return the pattern; see `Pattern.mark`."""
        painted = np.broadcast_to(self.paint(height, width)[..., None], (height, width, channels))
        return Paste(255 * painted, np.full((height, width), look.opacity))


@dataclass(frozen=True)
class Warped:
    """The image itself, its parts moved a little."""

    def mark(self, height: int, width: int, channels: int, look: Look) -> Mark:
        """Return the warp; see `Pattern.mark`."""
        largest = LARGEST_WARP * min(height, width)
        if look.displacement_px > largest:
            raise PlanError(
                f"a warp by {look.displacement_px} px would fold images of {(height, width)} px over themselves: give "
                f"displacement_px = {largest:g} or less"
            )
        return Warp(look.displacement_px * warp(height, width), look.opacity)


PATTERNS: dict[str, Pattern] = {
    "white": Square(white),
    "noise": Square(noise),
    "sinusoid": Square(sinusoid),
    "low_frequency": Whole(low_frequency),
    "warped": Warped(),
}
"""Names a plan may use in ``[[attack]] pattern = …``."""
