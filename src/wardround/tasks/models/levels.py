"""U-shaped networks as levels around a bottom: what a cut at a depth is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn


@dataclass(frozen=True)
class Level:
    """One level of a U: the way down, the way up, and the skip between them.

    Attributes:
        down: ``(B, C, H, W)`` -> what skips the levels below, and what goes down to them. Pooling belongs to the way
            down, so that a cut below it sends the smaller tensor.
        up: the skip, and what comes up from below -> what goes up; the outermost level's is the network's output.
        modules: what holds the level's weights.
    """

    down: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    up: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    modules: tuple[nn.Module, ...]


@runtime_checkable
class UShape(Protocol):
    """A network that says what its levels are."""

    def levels(self) -> tuple[Level, ...]:
        """Return the levels, the outermost first."""
        ...

    def bottom(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the levels are wrapped around, applied to `x`."""
        ...


def through(levels: Sequence[Level], bottom: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return `x` taken down the levels, through the bottom and up again."""
    x, skips = descend(levels, x)
    return ascend(levels, skips, bottom(x))


def descend(levels: Sequence[Level], x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return what arrives below the last of `levels`, and each level's skip."""
    skips = []
    for level in levels:
        skip, x = level.down(x)
        skips.append(skip)
    return x, tuple(skips)


def ascend(levels: Sequence[Level], skips: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Return what leaves the first of `levels` when `x` comes up from below the last."""
    for level, skip in zip(reversed(levels), reversed(skips), strict=True):
        x = level.up(skip, x)
    return x
