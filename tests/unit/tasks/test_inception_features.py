"""How images are brought to FID's network, against a slow loop, and what comes back."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from inception_state import inception_network
from torch import nn

from wardround.tasks import inception_features as features_of_images
from wardround.tasks.inception_features import inception_features
from wardround.tasks.models.inception import Inception


class Looks(nn.Module):
    """Keeps what it is fed, and answers with the mean of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images)
        return images.mean(dim=(2, 3))


def fed(pixels: np.ndarray, batch: int = 32) -> np.ndarray:
    network = Looks()
    for _ in inception_features(cast(Inception, network), pixels, batch):
        pass
    return torch.cat(network.seen).numpy()


def scaled_by_hand(levels: np.ndarray, size: int) -> np.ndarray:
    """Return a row of levels at `size` places: between the centres of the two nearest, without a filter."""
    found = []
    for place in range(size):
        where = min(max((place + 0.5) * len(levels) / size - 0.5, 0), len(levels) - 1)
        low = int(where)
        high = min(low + 1, len(levels) - 1)
        found.append(levels[low] + (levels[high] - levels[low]) * (where - low))
    return np.array(found)


@pytest.mark.parametrize("shape", [(7, 5), (299, 299), (16, 640)])
def test_images_of_any_size_are_scaled_between_centres(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    found = fed(pixels)
    assert found.shape == (1, 3, 299, 299)
    rows = np.stack([scaled_by_hand(pixels[0, :, column, 1] / 255, 299) for column in range(shape[1])], axis=1)
    expected = np.stack([scaled_by_hand(row, 299) for row in rows]) * 2 - 1
    assert np.allclose(found[0, 1], expected, atol=5e-4)  # places among 640 pixels are float32


def test_black_and_white_are_the_ends_of_the_levels() -> None:
    for level, end in ((0, -1), (255, 1)):
        assert np.allclose(fed(np.full((1, 8, 8, 1), level, np.uint8)), end, atol=1e-6)


def test_grey_is_three_equal_channels() -> None:
    grey = np.random.default_rng(2).integers(0, 256, (2, 9, 9, 1), dtype=np.uint8)
    assert np.array_equal(fed(grey), fed(np.repeat(grey, 3, axis=3)))


def test_batches_keep_the_order() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    found: list[Any] = list(inception_features(cast(Inception, Looks()), pixels, batch=2))
    assert [len(each) for each in found] == [2, 2, 1]
    assert np.allclose(np.concatenate(found), fed(pixels).mean(axis=(2, 3)), atol=1e-4)
    assert list(inception_features(cast(Inception, Looks()), pixels[:0])) == []


def test_features_are_finite_and_tell_images_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_of_images, "SIZE_PX", 139)  # a fifth of the time
    pixels = np.stack([np.full((8, 8, 1), 20), np.arange(64).reshape(8, 8, 1) * 4]).astype(np.uint8)
    [found] = inception_features(inception_network(), pixels)
    assert found.dtype == np.float32
    assert found.shape == (2, 2048)
    assert np.isfinite(found).all()
    assert np.abs(found[0] - found[1]).mean() > 0.01
