"""A trigger is found at its place and as strong as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import map_coordinates

from wardround.errors import DataError
from wardround.metrics.marks import Paste, Warp, departure, measured_mark


def square(size: int = 16, opacity: float = 1.0) -> Paste:
    levels, covered = np.zeros((size, size, 1)), np.zeros((size, size))
    levels[-5:-1, -5:-1], covered[-5:-1, -5:-1] = 255, opacity
    return Paste(levels, covered)


def images(seed: int, count: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 120, (count, 16, 16, 1)).astype(np.uint8)


def shapes(seed: int, count: int = 300, channels: int = 1) -> np.ndarray:
    """Return a bright disc at about the same place of every image, in noise: something that a warp moves."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((16, 16))
    centres = 7.5 + rng.normal(0, 0.5, (count, 2, 1, 1))
    discs = 150 * (np.hypot(rows - centres[:, 0], columns - centres[:, 1]) < 5)
    return (discs[..., None] + rng.integers(0, 40, (count, 16, 16, channels))).astype(np.uint8)


def moved(seed: int = 0, opacity: float = 1.0) -> Warp:
    """Return a warp of sines, up to a pixel and a half."""
    waves = np.random.default_rng(seed).uniform(0, 2 * np.pi, (2, 2, 1))
    places = np.arange(16) / 16 * 2 * np.pi
    down, right = (np.sin(places + wave[0])[:, None] * np.cos(places + wave[1]) for wave in waves)
    return Warp(1.5 * np.stack([down, right]), opacity)


FIELDS = arrays(np.float64, (2, 5, 7), elements=st.floats(-20, 20))
PIXELS = arrays(np.uint8, (2, 5, 7, 3))


@given(FIELDS, PIXELS)
def test_a_warp_samples_as_scipy_does(field: np.ndarray, pixels: np.ndarray) -> None:
    places = np.indices((5, 7)) + field
    found = Warp(field).on(pixels)
    assert found.dtype == np.uint8
    planes = np.moveaxis(pixels, 3, 1).reshape(-1, 5, 7).astype(float)
    expected = [map_coordinates(plane, places, order=1, mode="nearest") for plane in planes]
    assert np.abs(np.moveaxis(found, 3, 1).reshape(-1, 5, 7) - np.array(expected)).max() <= 0.5 + 1e-9


@given(FIELDS, st.integers(0, 255), st.floats(0.1, 1))
def test_a_warp_leaves_an_image_of_one_level_as_it_is(field: np.ndarray, level: int, opacity: float) -> None:
    pixels = np.full((2, 5, 7, 1), level, np.uint8)
    np.testing.assert_array_equal(Warp(field, opacity).on(pixels), pixels)


@given(PIXELS)
def test_a_warp_by_nothing_does_nothing_and_by_one_row_moves_a_row(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(Warp(np.zeros((2, 5, 7))).on(pixels), pixels)
    down = np.stack([np.ones((5, 7)), np.zeros((5, 7))])
    np.testing.assert_array_equal(Warp(down).on(pixels)[:, :-1], pixels[:, 1:])


@pytest.mark.parametrize("opacity", [1.0, 0.4])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_warp_has_strength_one_and_clean_images_none_in_the_mean(channels: int, opacity: float) -> None:
    mark, clean = moved(opacity=opacity), shapes(1, channels=channels)
    assert mark.strength(clean, clean).mean() == pytest.approx(0, abs=1e-9)
    assert mark.strength(mark.on(clean), clean).mean() == pytest.approx(1, abs=0.01)
    others = shapes(2, channels=channels)
    for sought, alpha in ((others, 0), (mark.on(others), 1)):
        found = mark.strength(sought, clean)
        assert found.mean() == pytest.approx(alpha, abs=4 * found.std() * (2 / len(found)) ** 0.5)
        assert found.std() < 2 / opacity


def test_the_strength_of_a_warp_is_the_share_of_warped_images_however_noisy_a_single_one() -> None:
    mark, clean = moved(), shapes(1, 600)
    mixed = shapes(1, 600)
    mixed[::4] = mark.on(mixed[::4])
    assert mark.strength(mixed, clean).mean() == pytest.approx(0.25, abs=0.05)
    assert mark.strength(clean, clean).std() > 0.1


def test_one_warp_is_not_another() -> None:
    clean = shapes(1)
    assert abs(moved(0).strength(moved(1).on(clean), clean).mean()) < 0.5


def test_the_corner_of_a_warp_is_the_whole_image() -> None:
    rows, columns = moved().box()
    assert (rows, columns) == (slice(0, 16), slice(0, 16))
    found, without = (measured_mark(moved(), made, shapes(1)) for made in (moved().on(shapes(2)), shapes(2)))
    assert found.strength == pytest.approx(1, abs=0.1)
    assert found.corner_distance > 3 * without.corner_distance


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
    with pytest.raises(DataError, match="cannot be sought"):
        moved().strength(shapes(1, channels=3), shapes(1))
    with pytest.raises(DataError, match="cannot be sought"):
        moved().strength(shapes(1)[:, 1:], shapes(1)[:, 1:])
    with pytest.raises(DataError, match="changes nothing"):
        moved().strength(shapes(1), np.full((4, 16, 16, 1), 255, np.uint8))


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
