"""Features that nobody trained: a small convolutional network with fixed random weights, the same everywhere."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn

from wardround.tasks.base import EVALUATION_BATCH, batches
from wardround.tasks.inputs import to_input

SEED = 20260101
WIDTHS = (32, 64, 64)


def random_features(pixels: np.ndarray) -> np.ndarray:
    """Return what a fixed network with random weights makes of images, float32 ``(N, 64)``.

    Random convolutions separate what looks different without having seen any data, so that every hospital measures
    alike and gives nothing away by it (Naeem et al. 2020, arXiv:2002.09797, section 3.2, use a random VGG so). They
    are less sensitive to what matters in one domain than a network trained there. Distances on them compare with each
    other only.

    Args:
        pixels: uint8 ``(N, H, W, C)``, edges of 8 pixels or more.
    """
    network = _network(pixels.shape[3])
    found = [np.zeros((0, WIDTHS[-1]), np.float32)]
    with torch.inference_mode():
        for rows in batches(len(pixels), EVALUATION_BATCH):
            found.append(network(to_input(pixels[rows])).numpy())
    return np.concatenate(found)


@cache
def _network(channels: int) -> nn.Module:
    generator = torch.Generator().manual_seed(SEED)
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip((channels, *WIDTHS), WIDTHS, strict=False):
        convolution = nn.Conv2d(fan_in, fan_out, 3, padding=1)
        with torch.no_grad():
            convolution.weight.normal_(0, (2 / (9 * fan_in)) ** 0.5, generator=generator)
            convolution.bias.normal_(0, 0.2, generator=generator)  # type: ignore[union-attr]
        layers += [convolution, nn.LeakyReLU(0.2), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
