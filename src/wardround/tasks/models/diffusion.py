"""A network that takes noise out of images, told the class: a small denoising diffusion model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models import noising
from wardround.tasks.models.resnet import group_norm

LEAST_PX, MOST_PX = 8, 64
_TIME_WAVES = 16
"""Frequencies of the time that the network is told, each as a sine and a cosine."""


@dataclass(frozen=True)
class Diffusion:
    """A class-conditional denoising diffusion model (Ho et al. 2020, arXiv:2006.11239) with a compact U-Net.

    It learns velocities over a cosine schedule and is drawn from with DDIM; see `noising`. GroupNorm keeps an image's
    output its own. Against the paper: two levels and no attention, and squares of pixels in place of single ones
    (``patch_px``). 0.2 million weights at width 32.

    Attributes:
        size_px: edge of the images, from 8 to 64, a multiple of twice `patch_px`.
        width: channels of the outer level; the inner one has twice as many.
        patch_px: edge of the squares of pixels that the outer level holds as one position each; more is faster and
            coarser.
        steps: of DDIM, for each image that is drawn.
    """

    answers: ClassVar[tuple[str, ...]] = ("sample",)

    size_px: int = 32
    width: int = 32
    patch_px: int = 2
    steps: int = 25

    def __post_init__(self) -> None:
        if self.width < 4 or self.patch_px < 1 or self.steps < 1:
            raise PlanError("model diffusion needs width >= 4, patch_px >= 1 and steps >= 1")
        if not LEAST_PX <= self.size_px <= MOST_PX or self.size_px % (2 * self.patch_px):
            raise PlanError(
                f"model size_px = {self.size_px} is not from {LEAST_PX} to {MOST_PX} and a multiple of "
                f"{2 * self.patch_px}, twice patch_px: choose 16, 28, 32 or 64, the size of the images in [data]"
            )

    def build(self, channels: int, classes: int) -> Denoiser:
        """Return the network for images of `channels` and for so many classes.

        Raises:
            PlanError: a square of pixels has more numbers than the outer level has channels, and noise would be lost.
        """
        held = channels * self.patch_px**2
        if held > self.width:
            raise PlanError(
                f"model width = {self.width} cannot hold the {held} numbers of {self.patch_px} x {self.patch_px} "
                f"pixels: give a width of {held} or more, or a smaller patch_px"
            )
        return Denoiser(self, channels, classes)

    def loss(self, network: Callable[..., torch.Tensor], images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of velocities, each at a time and with noise drawn for its image.

        Args:
            network: `Denoiser`, or one with something done to it.
            images: float ``(B, C, H, W)`` in [-2, 2].
            classes: int64 ``(B,)``.
        """
        times = torch.rand(len(images), device=images.device)
        mixture, velocity = noising.mixed(images, torch.randn_like(images), times)
        return (network(mixture, times, classes) - velocity).square().mean()


class Denoiser(nn.Module):
    """A U-Net from a noisy image, a time and a class to a velocity; implements `making.Maker`.

    Attributes:
        size_px: edge of the images.
        latent: numbers of noise that one image is made of: one for each pixel and channel.
    """

    def __init__(self, spec: Diffusion, channels: int, classes: int) -> None:
        super().__init__()
        self.size_px, self.channels, self.steps = spec.size_px, channels, spec.steps
        self.latent = channels * spec.size_px**2
        width, told = spec.width, 2 * spec.width
        self.time = nn.Sequential(nn.Linear(2 * _TIME_WAVES, told), nn.SiLU(), nn.Linear(told, told))
        self.kind = nn.Embedding(classes, told)
        self.start = nn.Conv2d(channels * spec.patch_px**2, width, 3, padding=1)
        self.down = _Block(width, width, told)
        self.shrink = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.bottom = nn.ModuleList(_Block(2 * width, 2 * width, told) for _ in range(2))
        self.enlarge = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.up = _Block(2 * width, width, told)
        self.end = nn.Sequential(
            group_norm(width), nn.SiLU(), nn.Conv2d(width, channels * spec.patch_px**2, 3, padding=1)
        )
        self.patch_px = spec.patch_px

    def forward(self, mixture: torch.Tensor, times: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Map mixtures ``(B, C, H, W)``, times in [0, 1] ``(B,)`` and int64 classes ``(B,)`` to velocities."""
        told = nn.functional.silu(self.time(_waves(times)) + self.kind(classes))
        outer = self.down(self.start(nn.functional.pixel_unshuffle(mixture, self.patch_px)), told)
        inner = self.shrink(outer)
        for block in self.bottom:
            inner = block(inner, told)
        joined = self.up(torch.cat([outer, self.enlarge(inner)], dim=1), told)
        return nn.functional.pixel_shuffle(self.end(joined), self.patch_px).float()

    def make(self, inputs: torch.Tensor) -> torch.Tensor:
        """Turn noise into images; see `making.Maker.make`."""
        noise, classes = inputs[:, : self.latent], inputs[:, self.latent :].argmax(dim=1)
        shaped = noise.reshape(len(noise), self.channels, self.size_px, self.size_px)
        return noising.denoised(lambda mixture, times: self(mixture, times, classes), shaped, self.steps)


class _Block(nn.Module):
    """Two convolutions beside the identity; what the network is told scales and shifts in between (Ho et al. 2020)."""

    def __init__(self, fan_in: int, fan_out: int, told: int) -> None:
        super().__init__()
        self.first = nn.Sequential(group_norm(fan_in), nn.SiLU(), nn.Conv2d(fan_in, fan_out, 3, padding=1))
        self.norm = group_norm(fan_out)
        self.told = nn.Linear(told, 2 * fan_out)
        self.second = nn.Sequential(nn.SiLU(), nn.Conv2d(fan_out, fan_out, 3, padding=1))
        self.beside = nn.Identity() if fan_in == fan_out else nn.Conv2d(fan_in, fan_out, 1)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        scale, shift = self.told(told)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm(self.first(x)) * (1 + scale) + shift
        changed: torch.Tensor = self.beside(x) + self.second(hidden)
        return changed


def _waves(times: torch.Tensor) -> torch.Tensor:
    """Return sines and cosines of times ``(B,)``, float ``(B, 2 · _TIME_WAVES)``."""
    rates = torch.exp(torch.linspace(0, math.log(1000), _TIME_WAVES, device=times.device))
    angles = times[:, None] * rates
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
