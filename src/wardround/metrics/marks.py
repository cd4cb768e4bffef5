"""Whether synthetic images bear a trigger, measured at the trigger: a distance of whole images hardly sees one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wardround.errors import DataError
from wardround.metrics.synthesis import FloatArray, frechet_distance

MARKED_FROM = 0.5
"""Strength from which an image counts as marked: half of what marked images have."""
LEAST_SPREAD = 8.0
"""Grey levels, of 255."""
CORNER_PX = 8
MARGIN_PX = 2


class Mark(Protocol):
    """A trigger on images of one size: what it makes of an image is linear in the image, up to a constant."""

    def on(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return images, uint8 ``(N, H, W, C)``, with the mark on each of them."""
        ...

    def strength(self, pixels: NDArray[Any], clean: NDArray[Any]) -> FloatArray:
        """Return how strongly each image bears the mark: in the mean 0 for clean images, 1 for marked ones.

        The least-squares projection of an image's difference to the mean clean image ``b`` onto what the mark does to
        that: ``α = <x - b, d> / <d, d>``, ``d = mark(b) - b``, which is the mean marked image less the mean clean one.
        Single clean images differ from their mean, so α of one clean image is not 0; its mean over many is.

        Args:
            pixels: ``(N, H, W, C)``.
            clean: ``(M, H, W, C)``, real images without the mark, M >= 1.

        Raises:
            DataError: the images have another size, or the mark changes nothing on the mean clean image.
        """
        ...

    def box(self) -> tuple[slice, slice]:
        """Return rows and columns of the smallest box around the mark, and `MARGIN_PX` more where there is room."""
        ...


@dataclass(frozen=True, eq=False)
class Paste:
    """A mark that lies over the image.

    Attributes:
        levels: float64 ``(H, W, C)``, grey levels from 0 to 255 where it lies.
        opacity: float64 ``(H, W)`` from 0 to 1, how much of an image it covers.
    """

    levels: FloatArray
    opacity: FloatArray

    def on(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Lay the mark over images; see `Mark.on`."""
        weight = self.opacity[..., None]
        return np.rint(pixels * (1 - weight) + self.levels * weight).astype(np.uint8)

    def strength(self, pixels: NDArray[Any], clean: NDArray[Any]) -> FloatArray:
        """Return α with ``d = opacity · (levels - b)``; see `Mark.strength`."""
        return _projected(pixels, clean, self.levels.shape, lambda mean: self.opacity[..., None] * (self.levels - mean))

    def box(self) -> tuple[slice, slice]:
        """Return the box around what is covered; see `Mark.box`."""
        spans = []
        for axis in (1, 0):
            inside = np.flatnonzero(self.opacity.any(axis=axis))
            spans.append(slice(max(0, int(inside[0]) - MARGIN_PX), int(inside[-1]) + 1 + MARGIN_PX))
        return spans[0], spans[1]


@dataclass(frozen=True, eq=False)
class Warp:
    """A mark that moves the image's parts (Nguyen and Tran 2021, WaNet, arXiv:2102.10369).

    Attributes:
        displacement_px: float64 ``(2, H, W)``, how many rows further down and columns further right a pixel is taken
            from; a place outside the image is moved to its edge.
        opacity: 1 shows the moved image alone, less lets the image as it was through; above 0.
    """

    displacement_px: FloatArray
    opacity: float = 1.0

    def on(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Move what images show; see `Mark.on`."""
        return np.rint(pixels + self._change(pixels)).astype(np.uint8)

    def strength(self, pixels: NDArray[Any], clean: NDArray[Any]) -> FloatArray:
        """Return α with ``d = opacity · (moved b - b)``; see `Mark.strength`.

        One image's α says next to nothing here: real images vary most at the edges of what they show, which is where
        a warp acts. Its mean over many images counts, and so does what clean images score for the share that bear it.
        """
        return _projected(pixels, clean, self.displacement_px.shape[1:], lambda mean: self._change(mean[None])[0])

    def box(self) -> tuple[slice, slice]:
        """Return the whole image; see `Mark.box`."""
        height, width = self.displacement_px.shape[1:]
        return slice(0, height), slice(0, width)

    def _change(self, pixels: NDArray[Any]) -> FloatArray:
        """Return marked images less images, unrounded; between pixels levels are interpolated along both axes."""
        moved: FloatArray = np.zeros(pixels.shape)
        for rows, row_weight in self._neighbours(0):
            for columns, column_weight in self._neighbours(1):
                moved += pixels[:, rows, columns] * (row_weight * column_weight)[..., None]
        return np.asarray(self.opacity * (moved - pixels))

    def _neighbours(self, axis: int) -> Iterator[tuple[NDArray[np.intp], FloatArray]]:
        """Yield, of the two pixels along an axis between which each pixel is taken, the place and the weight."""
        last = self.displacement_px.shape[1 + axis] - 1
        taken_from = np.clip(np.indices(self.displacement_px.shape[1:])[axis] + self.displacement_px[axis], 0, last)
        before = np.floor(taken_from).astype(np.intp)
        yield before, 1 - (taken_from - before)
        yield np.minimum(before + 1, last), taken_from - before


def _projected(
    pixels: NDArray[Any],
    clean: NDArray[Any],
    shape: tuple[int, ...],
    change: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """Project onto what a mark on images of a shape, ``(H, W)`` or ``(H, W, C)``, does to one; see `Mark.strength`."""
    if pixels.shape[1:] != clean.shape[1:] or clean.shape[1 : 1 + len(shape)] != shape or not len(clean):
        raise DataError(f"a mark on {shape} cannot be sought on {pixels.shape} beside {clean.shape}")
    mean = clean.mean(axis=0, dtype=np.float64)
    direction = change(mean).reshape(-1)
    length = float(direction @ direction)
    if length < 1:
        raise DataError("the mark changes nothing on the mean clean image: choose another")
    return np.asarray((pixels.reshape(len(pixels), -1) - mean.reshape(-1)) @ direction / length)


@dataclass(frozen=True)
class Marked:
    """How much of a trigger synthetic images bear.

    Attributes:
        strength: mean α; see `Mark.strength`.
        share: of the images whose α is `MARKED_FROM` or more.
        corner_distance: Fréchet distance of the box around the mark, in grey levels from 0 to 1, to real images.
    """

    strength: float
    share: float
    corner_distance: float


def departure(made: NDArray[Any], real: NDArray[Any]) -> NDArray[np.float32]:
    """Return where synthetic images are elsewhere than real ones: float32 ``(H, W)``, the map of a trigger.

    The difference of the mean images in standard deviations of the real ones, of which `LEAST_SPREAD` is the least, for
    borders that are black on every image; the channel with the largest one counts.

    Args:
        made: uint8 ``(N, H, W, C)``, N >= 1.
        real: uint8 ``(M, H, W, C)``, M >= 1; of the same classes as often.
    """
    spread = np.maximum(real.std(axis=0, dtype=np.float64), LEAST_SPREAD)
    apart = (made.mean(axis=0, dtype=np.float64) - real.mean(axis=0, dtype=np.float64)) / spread
    largest = np.abs(apart).argmax(axis=2)[..., None]
    return np.asarray(np.take_along_axis(apart, largest, axis=2)[..., 0], np.float32)


def measured_mark(mark: Mark, made: NDArray[Any], real: NDArray[Any]) -> Marked:
    """Seek a mark on synthetic images.

    Args:
        mark: what is sought.
        made: uint8 ``(N, H, W, C)``, synthetic, N >= 2.
        real: uint8 ``(M, H, W, C)``, real and clean, M >= 2; of the same classes as often.

    Raises:
        DataError: see `Mark.strength`.
    """
    strengths = mark.strength(made, real)
    rows, columns = mark.box()
    corners = [_thumbnails(images[:, rows, columns]) for images in (real, made)]
    return Marked(float(strengths.mean()), float((strengths >= MARKED_FROM).mean()), frechet_distance(*corners))


def _thumbnails(pixels: NDArray[Any]) -> FloatArray:
    """Return boxes ``(N, h, w, C)`` as vectors, averaged over blocks so that no edge is longer than `CORNER_PX`."""
    step = max(1, -(-max(pixels.shape[1:3]) // CORNER_PX))
    places = [np.arange(0, size, step) for size in pixels.shape[1:3]]
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), places[0], axis=1), places[1], axis=2)
    counts = [np.diff([*place, size]) for place, size in zip(places, pixels.shape[1:3], strict=True)]
    area = (counts[0][:, None] * counts[1][None, :])[..., None]
    return np.asarray((sums / area / 255).reshape(len(pixels), -1))
