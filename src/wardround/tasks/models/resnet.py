"""Residual networks with GroupNorm, every operation out of place.

An example's output depends on that example alone, nothing but weights travels, and per-sample gradients work. (MONAI's
``ResNet(norm=…)`` keeps BatchNorm inside its blocks and adds the shortcut in place, which per-sample hooks refuse.)
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.light import check_light, without_light

MAX_GROUPS = 8
STEMS = ("small", "large")


class Residual(nn.Module):
    """``relu(branch(x) + shortcut(x))``; both give the same shape."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        """Take the two paths."""
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C', H', W')``."""
        return torch.relu(self.branch(x) + self.shortcut(x))


@dataclass(frozen=True)
class _ResNet:
    answers: ClassVar[tuple[str, ...]] = ("image",)

    width: int
    dropout: float = 0.0
    stem: str = "small"
    stem_stride: int = 2
    light: str = "kept"

    blocks: ClassVar[tuple[int, int, int, int]]
    bottleneck: ClassVar[bool]

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.width < 1:
            raise PlanError(f"model width = {self.width} is not positive: choose for example 16 or 64")
        if not 0 <= self.dropout < 1:
            raise PlanError(f"model dropout = {self.dropout} is outside [0, 1)")
        if self.stem not in STEMS:
            raise PlanError(f'model stem = "{self.stem}" is unknown: choose "small" or "large"')
        if self.stem_stride not in (1, 2):
            raise PlanError(f"model stem_stride = {self.stem_stride} is unknown: choose 1 or 2")
        check_light(self.light)

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)`` to logits ``(B, classes)``."""
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        if self.light != "kept":
            stages["light"] = nn.Sequential(*without_light(self.light))
        stages["stem"] = self._stem(channels)
        fan_in = self.width
        for index, count in enumerate(self.blocks):
            planes = self.width * 2**index
            fan_out = planes * 4 if self.bottleneck else planes
            fans = (fan_in, *[fan_out] * (count - 1))
            strides = (1 if index == 0 else 2, *[1] * (count - 1))
            branch = _bottleneck if self.bottleneck else _basic
            stages[f"stage{index + 1}"] = nn.Sequential(
                *(
                    Residual(branch(fan, planes, stride), _shortcut(fan, fan_out, stride))
                    for fan, stride in zip(fans, strides, strict=True)
                )
            )
            fan_in = fan_out
        stages["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.dropout))
        stages["head"] = nn.Linear(fan_in, classes)
        return nn.Sequential(stages)

    def _stem(self, channels: int) -> nn.Module:
        large = self.stem == "large"
        first = _convolution(channels, self.width, 7 if large else 3, self.stem_stride)
        pool = nn.MaxPool2d(3, stride=2, padding=1) if large else nn.Identity()
        return nn.Sequential(first, group_norm(self.width), nn.ReLU(), pool)


@dataclass(frozen=True)
class ResNet18(_ResNet):
    """Two 3x3 convolutions per block, blocks [2, 2, 2, 2]; 0.7 million parameters at width 16, 11 at width 64.

    Attributes:
        width: channels of the first stage, any number; later stages have 2, 4 and 8 times as many.
        dropout: probability with which a pooled feature is zeroed while training.
        stem: "small", a 3x3 convolution, for images up to about 96 px; "large", 7x7 and a max pooling that halves.
        stem_stride: stride of the stem's convolution, 1 or 2; 1 sees more and takes up to four times as long.
        light: ``kept``; ``grey_world`` takes each image's own colour cast away, ``centred`` its brightness, too.
    """

    width: int = 16
    blocks: ClassVar[tuple[int, int, int, int]] = (2, 2, 2, 2)
    bottleneck: ClassVar[bool] = False


@dataclass(frozen=True)
class ResNet50(_ResNet):
    """Bottlenecks that expand fourfold, blocks [3, 4, 6, 3]; 23.5 million parameters at width 64.

    Attributes:
        width: channels inside the first stage's bottlenecks, any number; later stages have 2, 4 and 8 times as many.
        dropout: probability with which a pooled feature is zeroed while training.
        stem: "small", a 3x3 convolution, for images up to about 96 px; "large", 7x7 and a max pooling that halves.
        stem_stride: stride of the stem's convolution, 1 or 2; 1 sees more and takes up to four times as long.
        light: ``kept``; ``grey_world`` takes each image's own colour cast away, ``centred`` its brightness, too.
    """

    width: int = 64
    blocks: ClassVar[tuple[int, int, int, int]] = (3, 4, 6, 3)
    bottleneck: ClassVar[bool] = True


def _basic(fan_in: int, planes: int, stride: int) -> nn.Module:
    return nn.Sequential(
        *(_convolution(fan_in, planes, 3, stride), group_norm(planes), nn.ReLU()),
        *(_convolution(planes, planes, 3, 1), group_norm(planes)),
    )


def _bottleneck(fan_in: int, planes: int, stride: int) -> nn.Module:
    return nn.Sequential(
        *(_convolution(fan_in, planes, 1, 1), group_norm(planes), nn.ReLU()),
        *(_convolution(planes, planes, 3, stride), group_norm(planes), nn.ReLU()),
        *(_convolution(planes, planes * 4, 1, 1), group_norm(planes * 4)),
    )


def _shortcut(fan_in: int, fan_out: int, stride: int) -> nn.Module:
    if fan_in == fan_out and stride == 1:
        return nn.Identity()
    return nn.Sequential(_convolution(fan_in, fan_out, 1, stride), group_norm(fan_out))


def _convolution(fan_in: int, fan_out: int, size: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(fan_in, fan_out, size, stride=stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a GroupNorm of as many groups, up to `MAX_GROUPS`, as divide `channels`."""
    groups = max(count for count in range(1, MAX_GROUPS + 1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)
