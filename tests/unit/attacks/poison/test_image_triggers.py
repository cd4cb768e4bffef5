"""Marks on the images of a malicious site: where they are, and that labels and other images stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny

from wardround.attacks.poison import ImageTrigger
from wardround.attacks.poison.patterns import PATTERNS
from wardround.errors import PlanError

EAST = ("east",)


def trigger(**settings: Any) -> ImageTrigger:
    return ImageTrigger(sites=EAST, **{"size_px": 3, **settings})


def poisoned(settings: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    images = tiny.images(40)
    found = trigger(**settings).poisoned(images, np.random.default_rng(0))
    assert np.array_equal(found.labels, images.labels)
    assert np.array_equal(found.batch(slice(None)), found.pixels)
    return images.batch(slice(None)).astype(int), found.batch(slice(None)).astype(int)


def test_a_white_square_is_pasted_at_the_bottom_right_and_nothing_else_changes() -> None:
    before, after = poisoned({})
    assert (after[:, 4:7, 4:7] == 255).all()
    after[:, 4:7, 4:7] = before[:, 4:7, 4:7]
    assert np.array_equal(before, after)


def test_a_share_of_the_images_is_marked() -> None:
    before, after = poisoned({"share": 0.25})
    assert (before != after).any(axis=(1, 2, 3)).sum() == 10


def test_a_blended_mark_lets_the_image_through() -> None:
    before, after = poisoned({"opacity": 0.2})
    assert np.abs(after[:, 4:7, 4:7] - (0.8 * before[:, 4:7, 4:7] + 51)).max() <= 0.5


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_is_found_by_its_strength(pattern: str) -> None:
    images = tiny.images(200).batch(slice(None)) // 4
    images[:, :4, 2:5] += 150  # a warp of what is alike everywhere changes nothing
    mark = trigger(pattern=pattern).mark(*images.shape[1:])
    assert mark.strength(images[100:], images[:100]).mean() == pytest.approx(0, abs=0.05)
    assert mark.strength(mark.on(images[100:]), images[:100]).mean() == pytest.approx(1, abs=0.05)


def test_a_wave_lies_over_the_whole_image() -> None:
    before, after = poisoned({"pattern": "low_frequency", "opacity": 0.3})
    assert (before != after).any(axis=(0, 3)).all()


@pytest.mark.parametrize("size_px", [16, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_warp_fits_every_size_up_to_a_sixteenth_of_the_edge(size_px: int, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, size_px, size_px, channels)).astype(np.uint8)
    moved = trigger(pattern="warped", displacement_px=size_px / 16).mark(*pixels.shape[1:]).on(pixels)
    assert moved.dtype == np.uint8
    assert moved.shape == pixels.shape
    assert (moved != pixels).mean() > 0.9
    with pytest.raises(PlanError, match=rf"would fold images of .* displacement_px = {size_px / 16:g} or less"):
        trigger(pattern="warped", displacement_px=size_px / 16 + 0.1).mark(*pixels.shape[1:])


def test_a_warp_that_folds_is_refused_before_anything_is_trained() -> None:
    trigger(pattern="warped", displacement_px=0.5).check(tiny.images())
    with pytest.raises(PlanError, match=r"would fold images of \(8, 8\) px"):
        trigger(pattern="warped", displacement_px=0.6).check(tiny.images())


def test_a_warp_let_through_by_half_is_half_of_it() -> None:
    pixels = tiny.images().batch(slice(None))
    whole, half = (trigger(pattern="warped", opacity=opacity).mark(*pixels.shape[1:]) for opacity in (1.0, 0.5))
    assert np.abs(half.on(pixels) - (pixels + whole.on(pixels).astype(float)) / 2).max() <= 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pattern": "cat"}, "'cat' is not one of white"),
        ({"share": 0.0}, "attack share"),
        ({"opacity": 0.0}, "opacity above 0"),
        ({"size_px": 0}, "size_px >= 1"),
        ({"displacement_px": 0.0}, "moves nothing"),
        ({"displacement_px": float("nan")}, "moves nothing"),
    ],
)
def test_what_is_no_mark_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        trigger(**settings)


@pytest.mark.parametrize("images", [tiny.masked(), tiny.degraded()], ids=["masks", "restored"])
def test_images_that_are_learned_with_what_lies_beside_are_refused(images: Any) -> None:
    with pytest.raises(PlanError, match="learns masks or restores"):
        trigger().check(images)


def test_a_mark_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PlanError, match="does not fit images of"):
        trigger(size_px=8).check(tiny.images())
