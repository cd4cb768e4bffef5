"""What a generator's images look like place by place: a trigger is small, and shows where it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.metrics.synthesis import FloatArray

GRID = 8
"""Cells along each edge."""
LEAST_SPREAD = 8.0
"""Grey levels: a cell in which real images differ by less counts as if they differed by so much."""


def cells_of(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return mean grey level and contrast of each cell of a grid, float32 ``(N, 2 · 8 · 8)``, levels first.

    Contrast is the standard deviation of the levels within the cell, channels included.

    Args:
        pixels: uint8 ``(N, H, W, C)``; edges that are no multiple of 8 leave cells of two sizes.
    """
    levels = pixels.astype(np.float64)
    mean, square = _blocks(levels), _blocks(levels**2)
    contrast = np.sqrt(np.maximum(square - mean**2, 0))
    return np.concatenate([mean, contrast], axis=1).astype(np.float32)


def cell_harms(real: NDArray[Any], before: NDArray[Any], after: NDArray[Any]) -> dict[str, tuple[float, float]]:
    """Return by how much two generators differ in how far their images are from real ones, place by place.

    A generator's gap in a cell is the distance of the mean over its images to that over real ones, in standard
    deviations of the real images. Its harm is what the gap grew by. Both generators are given the same noise.

    Args:
        real: ``(N, K)``, of real images; see `cells_of`.
        before: ``(N, K)``, of the generator as it is.
        after: ``(N, K)``, of the generator with a change.

    Returns:
        Cell -> harm, and its standard deviation for paired images.
    """
    spread = np.maximum(real.std(axis=0, dtype=np.float64), LEAST_SPREAD)
    middle = real.mean(axis=0, dtype=np.float64)
    lost = (np.abs(after.mean(axis=0) - middle) - np.abs(before.mean(axis=0) - middle)) / spread
    sampling = (after.astype(np.float64) - before).std(axis=0) / spread / np.sqrt(len(real))
    names = [f"{what} in row {row}, column {column}" for what in ("level", "contrast") for row, column in _places()]
    return dict(zip(names, zip(lost.tolist(), sampling.tolist(), strict=True), strict=True))


def _places() -> list[tuple[int, int]]:
    return [(row, column) for row in range(GRID) for column in range(GRID)]


def _blocks(levels: FloatArray) -> FloatArray:
    edges = [np.linspace(0, size, GRID + 1).astype(np.int64) for size in levels.shape[1:3]]
    sums = np.add.reduceat(np.add.reduceat(levels.mean(axis=3), edges[0][:-1], axis=1), edges[1][:-1], axis=2)
    area = np.diff(edges[0])[:, None] * np.diff(edges[1])[None, :]
    return np.asarray((sums / area).reshape(len(levels), -1))
