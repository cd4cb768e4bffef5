"""A small convolutional classifier that trains in a minute on a laptop."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from wardround.errors import PlanError


@dataclass(frozen=True)
class SmallCnn:
    """Four 3x3 convolutions with GroupNorm, average pooling and a linear head; about 66,000 parameters at width 24.

    Attributes:
        width: channels of the first convolution; later ones have 4/3, 2 and 3 times as many.
        dropout: probability with which a pooled feature is zeroed while training.
    """

    width: int = 24
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width < 12 or self.width % 12:
            raise PlanError(f"model width = {self.width} is not a multiple of 12: choose 12, 24, 36, …")
        if not 0 <= self.dropout < 1:
            raise PlanError(f"model dropout = {self.dropout} is outside [0, 1)")

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)``, H and W at least 8, to logits ``(B, classes)``."""
        widths = (self.width, self.width * 4 // 3, self.width * 2, self.width * 3)
        layers: list[nn.Module] = []
        for index, (fan_in, fan_out) in enumerate(zip((channels, *widths), widths, strict=False)):
            layers += [
                nn.Conv2d(fan_in, fan_out, 3, stride=1 if index == 0 else 2, padding=1, bias=False),
                nn.GroupNorm(4, fan_out),
                nn.ReLU(),
            ]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(widths[-1], classes)]
        return nn.Sequential(*layers, *head)
