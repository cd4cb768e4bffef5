"""A trigger is found at its place and as strong as it is."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.errors import DataError
from wardround.metrics.marks import Mark, departure, measured_mark


def square(size: int = 16, opacity: float = 1.0) -> Mark:
    levels, covered = np.zeros((size, size, 1)), np.zeros((size, size))
    levels[-5:-1, -5:-1], covered[-5:-1, -5:-1] = 255, opacity
    return Mark(levels, covered)


def images(seed: int, count: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 120, (count, 16, 16, 1)).astype(np.uint8)


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_the_strength_is_the_share_of_the_mark(strength: float) -> None:
    clean, mark = images(1), square()
    made = images(2)
    made[:, -5:-1, -5:-1] = np.rint((1 - strength) * made[:, -5:-1, -5:-1] + strength * 255)
    assert mark.strength(made, clean).mean() == pytest.approx(strength, abs=0.01)


def test_a_pasted_mark_has_strength_one_whatever_its_opacity() -> None:
    for opacity in (1.0, 0.3):
        mark = square(opacity=opacity)
        assert mark.strength(mark.on(images(2)), images(1)).mean() == pytest.approx(1, abs=0.03)


def test_what_is_marked_is_told_from_what_is_not() -> None:
    mark = square()
    clean = measured_mark(mark, images(2), images(1))
    half = images(2)
    half[:150] = mark.on(half[:150])
    found = measured_mark(mark, half, images(1))
    assert clean.strength == pytest.approx(0, abs=0.01)
    assert clean.share == 0
    assert found.share == 0.5
    assert found.strength == pytest.approx(0.5, abs=0.02)
    assert found.corner_distance > 20 * clean.corner_distance


def test_the_corner_is_that_of_the_mark() -> None:
    elsewhere = images(2)
    elsewhere[:, :6, :6] = 255
    assert square().box() == (slice(9, 17), slice(9, 17))
    assert measured_mark(square(), elsewhere, images(1)).corner_distance == pytest.approx(
        measured_mark(square(), images(2), images(1)).corner_distance
    )


def test_what_cannot_be_sought_is_refused() -> None:
    with pytest.raises(DataError, match="cannot be sought"):
        square().strength(np.zeros((2, 8, 8, 1)), images(1))
    with pytest.raises(DataError, match="changes nothing"):
        square().strength(images(1), np.full((4, 16, 16, 1), 255, np.uint8))


def test_the_map_of_departures_shows_the_mark_in_deviations_of_real_images() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(100, 10, (400, 8, 8, 3)).clip(0, 255).astype(np.uint8)
    made = rng.normal(100, 10, (400, 8, 8, 3)).clip(0, 255).astype(np.uint8)
    made[:, 5:7, 5:7, 1] -= 40
    found = departure(made, real)
    assert found.dtype == np.float32
    assert found[5:7, 5:7] == pytest.approx(np.full((2, 2), -4.0), abs=0.6)
    found[5:7, 5:7] = 0
    assert np.abs(found).max() < 0.5
    assert np.isfinite(departure(np.full_like(made, 7), np.full_like(real, 7))).all()
