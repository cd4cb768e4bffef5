"""A small convolutional classifier that trains in a minute on a laptop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.light import check_light, without_light


@dataclass(frozen=True)
class SmallCnn:
    """Three 3x3 convolutions with GroupNorm, average pooling and a linear head; 60,000 parameters at width 32.

    The image is first folded by two (2x2 pixels become channels): full resolution costs most of the arithmetic of a
    small network and gains nothing here.

    Attributes:
        width: channels of the first convolution; later ones have 1.5 and 3 times as many.
        dropout: probability with which a pooled feature is zeroed while training.
        light: ``kept``; ``grey_world`` takes each image's own colour cast away, ``centred`` its brightness, too.
    """

    answers: ClassVar[tuple[str, ...]] = ("image",)

    width: int = 32
    dropout: float = 0.1
    light: str = "kept"

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 8:
            raise PlanError(f"model width = {self.width} is not a multiple of 8: choose 8, 16, 24, …")
        if not 0 <= self.dropout < 1:
            raise PlanError(f"model dropout = {self.dropout} is outside [0, 1)")
        check_light(self.light)

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)``, H and W at least 8, to logits ``(B, classes)``."""
        widths = (self.width, self.width * 3 // 2, self.width * 3)
        return nn.Sequential(
            nn.Sequential(*without_light(self.light), Fold()),
            *_block(4 * channels, widths[0], stride=1),
            *_block(widths[0], widths[1], stride=2),
            *_block(widths[1], widths[2], stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(self.dropout),
            nn.Linear(widths[2], classes),
        )


class Fold(nn.Module):
    """Folds 2x2 pixels into channels; an odd edge is padded with zeros."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to ``(B, 4 C, ceil(H / 2), ceil(W / 2))``."""
        height, width = images.shape[2:]
        return nn.functional.pixel_unshuffle(nn.functional.pad(images, (0, width % 2, 0, height % 2)), 2)


def _block(fan_in: int, fan_out: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(fan_in, fan_out, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(4, fan_out),
        nn.ReLU(),
    ]
