"""The network whose features FID is defined on: Inception-v3 as TensorFlow's graph of 2015-12-05 computes it.

Szegedy et al. 2016 (arXiv:1512.00567), figures 5 to 7 and table 1. What this one graph does otherwise is that of the
port to torch that the field uses (``pytorch-fid``): average pools do not count the zeros beyond the edge, the last
block takes the highest of its neighbours where the paper has their mean, and there are 1008 classes. Weights have the
port's names, so that a file of them fits as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

SIZE_PX = 299
FEATURES = 2048
CLASSES = 1008
EPSILON = 0.001

Pool = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Layer:
    """A convolution without bias, BatchNorm and ReLU.

    Attributes:
        name: what its weights are called.
        channels: that it gives.
        kernel: height and width.
        stride: in both directions.
        padded: whether zeros around the map let it keep its size.
    """

    name: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True


@dataclass(frozen=True)
class Mixed:
    """Branches that see the same map, one after the other along the channels.

    Attributes:
        name: what its weights' names begin with.
        branches: of each the steps.
    """

    name: str
    branches: tuple[tuple[Step, ...], ...]


Step = Layer | tuple[Layer, ...] | Mixed | Pool
"""A tuple of layers forks: all see the same map."""


def mean_pool(maps: torch.Tensor) -> torch.Tensor:
    """Return the mean over 3 x 3 neighbours; at the edge, over those that are there."""
    return functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)


def highest_pool(maps: torch.Tensor) -> torch.Tensor:
    """Return the highest of 3 x 3 neighbours."""
    return functional.max_pool2d(maps, 3, stride=1, padding=1)


def halving_pool(maps: torch.Tensor) -> torch.Tensor:
    """Return the highest of 3 x 3 neighbours, at every second place and where all are there."""
    return functional.max_pool2d(maps, 3, stride=2)


def _shrinking(name: str, channels: int) -> Layer:
    return Layer(name, channels, (3, 3), stride=2, padded=False)


def _at_35_px(name: str, pooled: int) -> Mixed:
    return Mixed(
        name,
        (
            (Layer("branch1x1", 64),),
            (Layer("branch5x5_1", 48), Layer("branch5x5_2", 64, (5, 5))),
            (Layer("branch3x3dbl_1", 64), Layer("branch3x3dbl_2", 96, (3, 3)), Layer("branch3x3dbl_3", 96, (3, 3))),
            (mean_pool, Layer("branch_pool", pooled)),
        ),
    )


def _at_17_px(name: str, width: int) -> Mixed:
    wide, high = (1, 7), (7, 1)
    return Mixed(
        name,
        (
            (Layer("branch1x1", 192),),
            (Layer("branch7x7_1", width), Layer("branch7x7_2", width, wide), Layer("branch7x7_3", 192, high)),
            (
                *(Layer("branch7x7dbl_1", width), Layer("branch7x7dbl_2", width, high)),
                *(Layer("branch7x7dbl_3", width, wide), Layer("branch7x7dbl_4", width, high)),
                Layer("branch7x7dbl_5", 192, wide),
            ),
            (mean_pool, Layer("branch_pool", 192)),
        ),
    )


def _at_8_px(name: str, pool: Pool) -> Mixed:
    wide, high = (1, 3), (3, 1)
    return Mixed(
        name,
        (
            (Layer("branch1x1", 320),),
            (Layer("branch3x3_1", 384), (Layer("branch3x3_2a", 384, wide), Layer("branch3x3_2b", 384, high))),
            (
                *(Layer("branch3x3dbl_1", 448), Layer("branch3x3dbl_2", 384, (3, 3))),
                (Layer("branch3x3dbl_3a", 384, wide), Layer("branch3x3dbl_3b", 384, high)),
            ),
            (pool, Layer("branch_pool", 192)),
        ),
    )


STEPS: tuple[Step, ...] = (
    Layer("Conv2d_1a_3x3", 32, (3, 3), stride=2, padded=False),
    Layer("Conv2d_2a_3x3", 32, (3, 3), padded=False),
    Layer("Conv2d_2b_3x3", 64, (3, 3)),
    halving_pool,
    Layer("Conv2d_3b_1x1", 80),
    Layer("Conv2d_4a_3x3", 192, (3, 3), padded=False),
    halving_pool,
    _at_35_px("Mixed_5b", 32),
    _at_35_px("Mixed_5c", 64),
    _at_35_px("Mixed_5d", 64),
    Mixed(
        "Mixed_6a",
        (
            (_shrinking("branch3x3", 384),),
            (Layer("branch3x3dbl_1", 64), Layer("branch3x3dbl_2", 96, (3, 3)), _shrinking("branch3x3dbl_3", 96)),
            (halving_pool,),
        ),
    ),
    _at_17_px("Mixed_6b", 128),
    _at_17_px("Mixed_6c", 160),
    _at_17_px("Mixed_6d", 160),
    _at_17_px("Mixed_6e", 192),
    Mixed(
        "Mixed_7a",
        (
            (Layer("branch3x3_1", 192), _shrinking("branch3x3_2", 320)),
            (
                *(Layer("branch7x7x3_1", 192), Layer("branch7x7x3_2", 192, (1, 7))),
                *(Layer("branch7x7x3_3", 192, (7, 1)), _shrinking("branch7x7x3_4", 192)),
            ),
            (halving_pool,),
        ),
    ),
    _at_8_px("Mixed_7b", mean_pool),
    _at_8_px("Mixed_7c", highest_pool),
)


class Convolution(nn.Module):
    """What a `Layer` describes.

    Args:
        fan_in: channels that it is given.
        layer: all else.
    """

    def __init__(self, fan_in: int, layer: Layer) -> None:
        super().__init__()
        height, width = layer.kernel if layer.padded else (1, 1)
        self.conv = nn.Conv2d(
            fan_in, layer.channels, layer.kernel, stride=layer.stride, padding=(height // 2, width // 2), bias=False
        )
        self.bn = nn.BatchNorm2d(layer.channels, eps=EPSILON)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to ``(B, channels, H', W')``."""
        return torch.relu(self.bn(self.conv(maps)))


class Branches(nn.Module):
    """Steps side by side, what each gives joined along the channels.

    Args:
        fan_in: channels that they are given.
        branches: of each the steps.

    Attributes:
        channels: that they give together.
    """

    def __init__(self, fan_in: int, branches: tuple[tuple[Step, ...], ...]) -> None:
        super().__init__()
        self.branches = branches
        self.channels = 0
        for branch in branches:
            channels = fan_in
            for step in branch:
                channels = self._added(channels, step)
            self.channels += channels

    def _added(self, fan_in: int, step: Step) -> int:
        if isinstance(step, tuple):
            return sum(self._added(fan_in, layer) for layer in step)
        if isinstance(step, Mixed):
            inner = Branches(fan_in, step.branches)
            self.add_module(step.name, inner)
            return inner.channels
        if isinstance(step, Layer):
            self.add_module(step.name, Convolution(fan_in, step))
            return step.channels
        return fan_in

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, fan_in, H, W)`` to ``(B, channels, H', W')``."""
        found = []
        for branch in self.branches:
            seen = maps
            for step in branch:
                seen = self._after(step, seen)
            found.append(seen)
        return torch.cat(found, dim=1)

    def _after(self, step: Step, maps: torch.Tensor) -> torch.Tensor:
        if isinstance(step, tuple):
            return torch.cat([self._after(layer, maps) for layer in step], dim=1)
        if isinstance(step, Layer | Mixed):
            seen: torch.Tensor = self.get_submodule(step.name)(maps)
            return seen
        return step(maps)


class Inception(Branches):
    """Images to the 2048 features that FID is computed on, ``pool_3`` of the graph.

    `fc`, which the graph computes classes by, is not used: with it a file is known to be this network's.
    """

    def __init__(self) -> None:
        super().__init__(3, (STEPS,))
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map ``(B, 3, H, W)`` in [-1, 1] to ``(B, 2048)``; FID has H = W = 299."""
        return super().forward(images).mean(dim=(2, 3))
