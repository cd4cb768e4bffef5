"""Convolutions whose last map is flattened into the head: the usual victim of gradient inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from wardround.errors import PlanError

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
MAP_PX = 8


@dataclass(frozen=True)
class FlatCnn:
    """Four 3x3 convolutions, the first and third of stride 2, flattened into a linear head; 43,000 parameters.

    Smooth and, at 32 px, without pooling, so that nothing about an image is lost on its way into the gradient. It is
    here to be attacked: a network that averages its last map, as the others do, gives away far less. Larger images are
    averaged down to a map of 8 x 8 before the head.

    Attributes:
        width: channels of every convolution.
        activation: ``gelu``, ``silu``, ``tanh`` or ``sigmoid``.
    """

    answers: ClassVar[tuple[str, ...]] = ("image",)

    width: int = 32
    activation: str = "gelu"

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            raise PlanError(f"model width = {self.width} is not a multiple of 4: choose 4, 8, 12, …")
        if self.activation not in ACTIVATIONS:
            raise PlanError(f"model activation = {self.activation!r} is not one of {', '.join(ACTIVATIONS)}")

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)``, H and W at least 8, to logits ``(B, classes)``."""
        layers: list[nn.Module] = []
        fan_in = channels
        for stride in (2, 1, 2, 1):
            layers += [
                nn.Conv2d(fan_in, self.width, 3, stride=stride, padding=1),
                nn.GroupNorm(4, self.width),
                ACTIVATIONS[self.activation](),
            ]
            fan_in = self.width
        return nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(MAP_PX), nn.Flatten(), nn.Linear(self.width * MAP_PX**2, classes)
        )
