"""Features of a fixed random network: the same everywhere, and they notice what spoils images."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.metrics.synthesis import frechet_distance
from wardround.tasks.random_features import random_features


def blobs(seed: int, count: int = 120) -> np.ndarray:
    """Return grey images of a light disc somewhere on a dark ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :16]
    places = rng.uniform(5, 11, (count, 2, 1, 1))
    far = np.hypot(rows - places[:, :1, 0], columns - places[:, 1:, 0])
    return np.clip(200 / (1 + np.exp(far - 4)) + rng.normal(20, 5, far.shape), 0, 255).astype(np.uint8)[..., None]


def test_they_are_the_same_each_time_and_know_only_the_image() -> None:
    images = blobs(1, 10)
    found = random_features(images)
    assert found.shape == (10, 64)
    assert found.dtype == np.float32
    assert np.array_equal(found, random_features(images))
    assert np.allclose(random_features(images[3:4])[0], found[3], atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour(channels: int) -> None:
    assert random_features(np.repeat(blobs(1, 2), channels, axis=3)).shape == (2, 64)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda images, rng: np.clip(images + rng.normal(0, 40, images.shape), 0, 255),
        lambda images, rng: np.repeat(images[:1], len(images), axis=0),
        lambda images, rng: images * 0.7,
        lambda images, rng: np.broadcast_to(images.mean(axis=0, keepdims=True), images.shape),
        lambda images, rng: 255 - images,
    ],
    ids=["noise", "one image", "darker", "the mean", "inverted"],
)
def test_what_spoils_images_is_noticed(spoilt: object) -> None:
    real, rng = random_features(blobs(1)), np.random.default_rng(3)
    clean = frechet_distance(real, random_features(blobs(2)))
    found = frechet_distance(real, random_features(spoilt(blobs(2), rng).astype(np.uint8)))  # type: ignore[operator]
    assert found > 3 * clean
