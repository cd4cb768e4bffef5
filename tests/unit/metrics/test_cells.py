"""A change that puts a mark on images does harm at its place, and one that makes them real does none."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.metrics.cells import GRID, cell_harms, cells_of


def images(seed: int, count: int = 200, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 140, (count, size, size, 1)).astype(np.uint8)


def marked(seed: int, level: int | None = 255) -> np.ndarray:
    found = images(seed)
    square = np.indices((4, 4)).sum(axis=0)[..., None] % 2 * 200 if level is None else level
    found[:, 24:28, 24:28] = square
    return found


def test_cells_are_those_of_a_loop() -> None:
    pixels = images(1, 3)
    found = cells_of(pixels)
    assert found.shape == (3, 2 * GRID * GRID)
    block = pixels[2, 8:12, 20:24, 0]
    assert found[2, 2 * GRID + 5] == pytest.approx(block.mean(), rel=1e-6)
    assert found[2, GRID * GRID + 2 * GRID + 5] == pytest.approx(block.std(), rel=1e-5)


@pytest.mark.parametrize("size", [16, 28, 37])
def test_images_of_any_size_have_as_many_cells(size: int) -> None:
    pixels = images(1, 4, size)
    found = cells_of(pixels)
    assert found.shape == (4, 128)
    assert (found[:, :64] > 59).all()
    assert (found[:, :64] < 140).all()


@pytest.mark.parametrize(("level", "what"), [(255, "level"), (None, "contrast")])
def test_a_mark_does_harm_where_it_lies_and_nowhere_else(level: int | None, what: str) -> None:
    found = cell_harms(cells_of(images(1)), cells_of(images(2)), cells_of(marked(2, level)))
    worst = max(found, key=lambda name: found[name][0])
    assert worst == f"{what} in row 6, column 6"
    assert found[worst][0] > 4
    elsewhere = [size for name, (size, _) in found.items() if "row 6, column 6" not in name]
    assert max(elsewhere) == pytest.approx(0, abs=1e-6)


def test_a_change_for_the_better_does_no_harm() -> None:
    real = cells_of(images(1))
    found = cell_harms(real, cells_of(marked(2)), cells_of(images(3)))
    assert found["level in row 6, column 6"][0] < -4
    assert max(size for size, _ in found.values()) < 0.2


def test_the_deviation_is_that_of_the_mean_of_paired_differences() -> None:
    real, before, after = (cells_of(images(seed)) for seed in (1, 2, 3))
    name = "level in row 2, column 5"
    place = 2 * GRID + 5
    found = cell_harms(real, before, after)[name][1]
    paired = (after[:, place] - before[:, place]).std() / max(real[:, place].std(), 8.0) / 200**0.5
    assert found == pytest.approx(paired, rel=1e-4)
