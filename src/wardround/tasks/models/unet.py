"""The U-Net of Ronneberger et al. 2015 (arXiv:1505.04597), padded and with GroupNorm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.levels import Level, through
from wardround.tasks.models.resnet import group_norm


@dataclass(frozen=True)
class UNet:
    """Two 3x3 convolutions a level, max pooling down, 2x2 transposed convolutions up; 0.5 million weights by default.

    Against the paper: convolutions are padded, so the output has the input's size, and are followed by GroupNorm, so
    that an image's output depends on that image alone and nothing but weights travels.

    Attributes:
        widths: channels of each level, the outermost first and the bottom last; 2 or more.
    """

    answers: ClassVar[tuple[str, ...]] = ("pixel",)

    widths: tuple[int, ...] = (16, 32, 64, 128)

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or any(width < 1 for width in self.widths):
            raise PlanError(f"model widths = {list(self.widths)} are not two or more positive numbers, as [16, 32, 64]")

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)`` to ``(B, classes, H, W)``.

        Each of the ``len(widths) - 1`` poolings halves H and W; an odd edge is padded on the way up.
        """
        return UNetwork(channels, classes, self.widths)


class UNetwork(nn.Module):
    """The network of `UNet`; implements `levels.UShape`."""

    def __init__(self, channels: int, outputs: int, widths: tuple[int, ...]) -> None:
        """Make it from channels in, channels out and channels of each level."""
        super().__init__()
        fans = zip((channels, *widths), widths, strict=False)
        above = list(pairwise(widths))
        self.down = nn.ModuleList(_double(fan_in, fan_out) for fan_in, fan_out in fans)
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(below, width, 2, stride=2) for width, below in above)
        self.up = nn.ModuleList(_double(2 * width, width) for width, _ in above)
        self.out = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels, H, W)`` to ``(B, outputs, H, W)``."""
        return through(self.levels(), self.bottom, images)

    def levels(self) -> tuple[Level, ...]:
        """Return one level for each pooling; the last convolution belongs to the outermost."""
        return tuple(self._level(index) for index in range(len(self.up)))

    def bottom(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the two convolutions below the last pooling."""
        return self.down[-1](x)  # type: ignore[no-any-return]

    def _level(self, index: int) -> Level:
        down, enlarge, up = self.down[index], self.enlarge[index], self.up[index]

        def going_down(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            skip = down(x)
            return skip, nn.functional.max_pool2d(skip, 2)

        def coming_up(skip: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
            joined = up(torch.cat([skip, _fitted(enlarge(inner), skip)], dim=1))
            return self.out(joined) if index == 0 else joined  # type: ignore[no-any-return]

        return Level(going_down, coming_up, (down, enlarge, up, *([self.out] if index == 0 else [])))


def _fitted(x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """Return `x` with an edge repeated where pooling dropped one from `skip`."""
    missing_rows, missing_columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
    if not (missing_rows or missing_columns):
        return x
    return nn.functional.pad(x, (0, missing_columns, 0, missing_rows), mode="replicate")


def _double(fan_in: int, fan_out: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False), group_norm(fan_out), nn.ReLU()),
        *(nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False), group_norm(fan_out), nn.ReLU()),
    )
