"""RED-CNN (Chen et al. 2017, arXiv:1702.00288): a residual encoder-decoder that takes the noise out of CT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.levels import Level, through

DEPTH = 4
KERNEL = 5


@dataclass(frozen=True)
class RedCnn:
    """Five 5x5 convolutions, five transposed ones, no padding and no pooling; 1.8 million weights at width 96.

    The input, and what the second and the fourth convolution give, are added again on the way up, as in the paper.
    Cut at depth 1 it is the split of DC-SFL (Yang et al. 2023): head and tail of 2,496 and 2,401 weights.

    Attributes:
        width: channels of every layer but the last.
    """

    answers: ClassVar[tuple[str, ...]] = ("pixel",)

    width: int = 96

    def __post_init__(self) -> None:
        if self.width < 1:
            raise PlanError(f"model width = {self.width} is not positive: RED-CNN's own is 96")

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)`` to ``(B, classes, H, W)``; H and W are at least 21.

        Raises:
            PlanError: `classes` is not `channels`: it restores what it is given.
        """
        if classes != channels:
            raise PlanError(f"red_cnn restores images: {channels} channels in cannot become {classes} out")
        return RedCnnNetwork(channels, self.width)


class RedCnnNetwork(nn.Module):
    """The network of `RedCnn`; implements `levels.UShape`."""

    def __init__(self, channels: int, width: int) -> None:
        """Make it from the channels of the images and of the layers."""
        super().__init__()
        fans = (channels, *[width] * DEPTH)
        self.down = nn.ModuleList(nn.Conv2d(fan_in, width, KERNEL) for fan_in in fans)
        self.up = nn.ModuleList(nn.ConvTranspose2d(width, fan_out, KERNEL) for fan_out in fans)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map ``(B, channels, H, W)`` to the same shape; nothing in the output is negative."""
        return through(self.levels(), self.bottom, images)

    def levels(self) -> tuple[Level, ...]:
        """Return one level for each pair of convolutions but the innermost."""
        return tuple(self._level(index) for index in range(DEPTH))

    def bottom(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the innermost pair."""
        return self.up[-1](torch.relu(self.down[-1](x)))  # type: ignore[no-any-return]

    def _level(self, index: int) -> Level:
        down, up = self.down[index], self.up[index]
        adds = index % 2 == 1  # the second and the fourth; the first adds the input, and only at its end

        def going_down(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            deeper = torch.relu(down(x))
            return (x if index == 0 else deeper), deeper

        def coming_up(skip: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
            above = up(torch.relu(inner + skip if adds else inner))
            return torch.relu(above + skip) if index == 0 else above

        return Level(going_down, coming_up, (down, up))
