"""The sigmoid LeNet on which deep leakage from gradients was first shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

MAP_PX = 8
CHANNELS = 12
SPREAD = 0.5


@dataclass(frozen=True)
class LeNet:
    """Three 5x5 convolutions with sigmoids, flattened into a linear head (Zhu et al. 2019, released code).

    Its first weights and biases are uniform in ±.5, as there: under torch's own a sigmoid this deep passes on hardly
    any gradient. Images that are not 32 px are averaged to a map of 8 x 8 before the head, which is ours.
    """

    answers: ClassVar[tuple[str, ...]] = ("image",)

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)``, H and W at least 8, to logits ``(B, classes)``."""
        network = nn.Sequential(
            nn.Conv2d(channels, CHANNELS, 5, stride=2, padding=2),
            nn.Sigmoid(),
            nn.Conv2d(CHANNELS, CHANNELS, 5, stride=2, padding=2),
            nn.Sigmoid(),
            nn.Conv2d(CHANNELS, CHANNELS, 5, stride=1, padding=2),
            nn.Sigmoid(),
            nn.AdaptiveAvgPool2d(MAP_PX),
            nn.Flatten(),
            nn.Linear(CHANNELS * MAP_PX**2, classes),
        )
        with torch.no_grad():
            for value in network.parameters():
                value.uniform_(-SPREAD, SPREAD)
        return network
