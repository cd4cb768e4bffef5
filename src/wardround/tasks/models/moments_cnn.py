"""A CNN made for differentially private training: few weights, and a head that sees moments of every layer."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.scattering import opponent, windows_of

FIRST_RINGS_PX, LATER_RINGS_PX = 5, 3
"""Edges of the square of pixels that the first convolution, and each later one, sees."""
CHROMA = 2.0
"""Factor on the two colour differences, which vary less than luminance."""
GAIN = 2.0
"""Length of a filter: values of about this size enter the bounded activation."""
FAINT = 0.02
"""Added to deviations before the logarithm, in units of the activations."""
HEAD_START = 1e-3
"""Deviation of the head's first weights: classes start about equally probable, and filters learn from the start."""


@dataclass(frozen=True)
class MomentsCnn:
    """Convolutions of few weights whose moments, layer by layer, go straight to the head; 875 parameters in colour.

    What DP-SGD pays for is the number of weights and what it lacks is steps, so this network has as few as possible of
    the former and features that a linear head can use before anything is learned:

    - filters are blind to quarter turns and mirrors: one weight for each ring of pixels at the same distance instead of
      one for each pixel, so that no augmentation is needed;
    - filters are standardised (Qiao et al. 2019, arXiv:1903.10520; under DP-SGD De et al. 2022, arXiv:2204.13650, which
      scales them differently): of mean zero and a fixed length, so that a step only turns them;
    - tanh, because bounded activations keep gradients short (Papernot et al. 2021, arXiv:2007.14191);
    - the head is fed mean and log deviation of each channel of the image and of each layer, under two windows.

    All weights start at random and all are trained.

    Attributes:
        widths: channels of each convolution, one to four numbers; the first has stride 2, and after each but the last
            the map is halved.
        inertia: length of the random filters before they are standardised, > 0. A filter turns by a step's length over
            this, so that a larger one learns more slowly and is moved less by noise.
        scale: factor on what the head is fed, > 0.
    """

    answers: ClassVar[tuple[str, ...]] = ("image",)

    widths: tuple[int, ...] = (8, 8)
    inertia: float = 10.0
    scale: float = 4.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not 1 <= len(self.widths) <= 4 or min(self.widths) < 1:
            raise PlanError(f"model widths = {list(self.widths)} are not one to four positive numbers: try [8, 8]")
        for key in ("inertia", "scale"):
            if not 0 < getattr(self, key) < float("inf"):
                raise PlanError(f"model {key} = {getattr(self, key)} is not a positive number")

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)``, H and W at least 16, to logits ``(B, classes)``."""
        body = _Body(channels, self.widths, self.inertia, self.scale)
        head = nn.Linear(body.num_features, classes)
        nn.init.normal_(head.weight, std=HEAD_START)
        nn.init.zeros_(head.bias)
        return nn.Sequential(OrderedDict(body=body, head=head))


class _Body(nn.Module):
    """Images to moments of every layer: ``(B, C, H, W)`` in [-2, 2] to ``(B, num_features)``."""

    def __init__(self, channels: int, widths: tuple[int, ...], inertia: float, scale: float) -> None:
        super().__init__()
        self.scale: torch.Tensor
        fans = (channels, *widths)
        edges = (FIRST_RINGS_PX, *[LATER_RINGS_PX] * (len(widths) - 1))
        self.convolutions = nn.ModuleList(
            RingConvolution(fan_in, fan_out, edge, stride=1 if index else 2, inertia=inertia)
            for index, (fan_in, fan_out, edge) in enumerate(zip(fans, widths, edges, strict=False))
        )
        self.num_features = 4 * sum(fans)
        factor = torch.tensor(scale / self.num_features**0.5)
        self.register_buffer("scale", factor, persistent=False)  # a constant of the body, so of its digest

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = opponent(images)
        if maps.shape[1] > 1:
            maps = torch.cat([maps[:, :1], CHROMA * maps[:, 1:]], dim=1)
        found = [moments(maps)]
        for index, convolution in enumerate(self.convolutions):
            maps = torch.tanh(convolution(nn.functional.avg_pool2d(maps, 2) if index else maps))
            found.append(moments(maps))
        return self.scale * torch.cat(found, dim=1)


class RingConvolution(nn.Module):
    """A convolution whose filters have one weight for all pixels at the same distance, and are standardised.

    The image is summed over rings first, by constants; what is learned then mixes channels and rings at each pixel.

    Attributes:
        weight: ``(fan_out, fan_in x rings)``.
    """

    def __init__(self, fan_in: int, fan_out: int, edge: int, stride: int, inertia: float) -> None:
        """Take the channels, the edge of the square that a filter sees (odd), and the length of random filters."""
        super().__init__()
        self.rings: torch.Tensor
        self.mean: torch.Tensor
        self.fan_in, self.edge, self.stride = fan_in, edge, stride
        rings = _rings(edge)
        ones = rings.sum(dim=(1, 2)).repeat(fan_in)
        self.register_buffer("rings", rings[:, None].repeat(fan_in, 1, 1, 1), persistent=False)
        self.register_buffer("mean", ones / ones.norm(), persistent=False)
        self.weight = nn.Parameter(torch.randn(fan_out, len(ones)) * inertia / len(ones) ** 0.5)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, fan_in, H, W)`` to ``(B, fan_out, ceil(H / stride), ceil(W / stride))``."""
        summed = nn.functional.conv2d(maps, self.rings, stride=self.stride, padding=self.edge // 2, groups=self.fan_in)
        centred = self.weight - torch.outer(self.weight @ self.mean, self.mean)
        filters = GAIN * centred / torch.linalg.vector_norm(centred, dim=1, keepdim=True).clamp_min(1e-6)
        mixed: torch.Tensor = filters @ summed.flatten(2)
        return mixed.reshape(*mixed.shape[:2], *summed.shape[2:])


@cache
def _rings(edge: int) -> torch.Tensor:
    """Return orthonormal ``(rings, edge, edge)``: in each, equal weights on all pixels that symmetries carry over."""
    away = (torch.arange(edge) - edge // 2).abs()
    places = torch.maximum(away[:, None], away) * edge + torch.minimum(away[:, None], away)
    masks = torch.stack([(places == place).float() for place in sorted(set(places.flatten().tolist()))])
    return masks / masks.sum(dim=(1, 2), keepdim=True).sqrt()


def moments(maps: torch.Tensor) -> torch.Tensor:
    """Return mean, the centre's mean beyond it, and half the log deviations under both windows.

    Args:
        maps: float ``(B, C, H, W)``.

    Returns:
        Float ``(B, 4 C)``.
    """
    weights = windows_of(*maps.shape[2:]).to(maps).flatten(1)
    flat = maps.flatten(2)
    means = flat @ weights.T
    variances = (flat.square() @ weights.T - means.square()).clamp_min(0)
    deviations = torch.log(variances + FAINT**2) / 4 + 1
    beyond = means[..., 1:] - means[..., :1]
    return torch.cat([means[..., :1], beyond, deviations], dim=2).flatten(1)
