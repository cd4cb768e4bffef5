"""A generator and a discriminator that learn from each other, both told the class: a conditional DCGAN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from wardround.errors import PlanError

LEAST_PX, MOST_PX = 16, 128
_BASES = (4, 5, 6, 7)


@dataclass(frozen=True)
class PairSpec(ABC):
    """A generator of some kind, and a projection discriminator.

    Attributes:
        size_px: edge of the images, from 16 to 128: 4, 5, 6 or 7, doubled twice or more (28, 32, 48, 64, 96, …).
        width: channels at half the size of the images; each halving has twice as many.
        latent: numbers of noise that one image is made of.
    """

    answers: ClassVar[tuple[str, ...]] = ("sample",)

    size_px: int = 32
    width: int = 32
    latent: int = 64

    def __post_init__(self) -> None:
        if self.width < 4 or self.latent < 1:
            raise PlanError(f"model width = {self.width} and latent = {self.latent}: give at least 4 and 1")
        if not LEAST_PX <= self.size_px <= MOST_PX or self.size_px % 2**self.doublings:
            raise PlanError(
                f"model size_px = {self.size_px} cannot be made by doubling 4, 5, 6 or 7 up to {MOST_PX}: choose 28, "
                "32, 48, 64, 96 or 128, the size of the images in [data]"
            )

    @property
    def doublings(self) -> int:
        """How often the generator doubles its first, small image."""
        return max(0, self.size_px // _BASES[0]).bit_length() - 1

    @abstractmethod
    def generator(self, channels: int, classes: int) -> nn.Module:
        """Return the generator alone."""

    def build(self, channels: int, classes: int) -> Adversaries:
        """Return both networks for images of `channels` and for so many classes."""
        generator = self.generator(channels, classes)
        discriminator = Discriminator(classes, self.size_px, self.doublings, self.width, channels)
        return Adversaries(generator, discriminator, self.latent, self.size_px)


@dataclass(frozen=True)
class DcGan(PairSpec):
    """A deep convolutional generator and a projection discriminator; see `PairSpec`.

    The generator is that of DCGAN (Radford et al. 2016, arXiv:1511.06434) with the class beside the noise; the
    discriminator judges an image and its class by projection (Miyato and Koyama 2018, arXiv:1802.05637) and is kept
    smooth by spectral normalisation (Miyato et al. 2018, arXiv:1802.05957) where DCGAN has BatchNorm, so that it
    judges each image by itself. 0.9 million weights at width 32 and 32 pixels.
    """

    def generator(self, channels: int, classes: int) -> Generator:
        """Return the generator alone."""
        return Generator(self.latent + classes, self.size_px, self.doublings, self.width, channels)


class Adversaries(nn.Module):
    """A generator and a discriminator; implements `making.Maker`.

    Attributes:
        generator: makes images of noise and classes.
        discriminator: tells them from real ones.
        latent: numbers of noise that one image is made of.
        size_px: edge of the images.
    """

    def __init__(self, generator: nn.Module, discriminator: Discriminator, latent: int, size_px: int) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent = latent
        self.size_px = size_px

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map noise and classes to images; see `Generator.forward`."""
        return self.generator(inputs)  # type: ignore[no-any-return]

    def make(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the generator makes; see `making.Maker.make`."""
        return self(inputs)  # type: ignore[no-any-return]


class Generator(nn.Module):
    """Noise and class to an image: a small image with many channels, doubled by transposed convolutions.

    Args:
        inputs: numbers that an image is made of, classes included.
        size_px: edge of the images.
        doublings: how often the first image is doubled.
        width: channels before the last doubling.
        channels: of an image.
    """

    def __init__(self, inputs: int, size_px: int, doublings: int, width: int, channels: int) -> None:
        super().__init__()
        self.base = size_px // 2**doublings
        widths = [width * 2**level for level in range(doublings)][::-1]
        self.first = nn.Linear(inputs, widths[0] * self.base**2, bias=False)
        self.start = nn.Sequential(nn.BatchNorm2d(widths[0]), nn.ReLU())
        doubled = [_doubled(fan_in, fan_out) for fan_in, fan_out in pairwise(widths)]
        self.doubled = nn.Sequential(*doubled)
        self.last = nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map float ``(B, latent + classes)``, noise and a one for the class, to ``(B, C, H, W)`` in [-2, 2]."""
        small = self.first(inputs).reshape(len(inputs), -1, self.base, self.base)
        images: torch.Tensor = self.last(self.doubled(self.start(small)))
        return 2 * torch.tanh(images.float())


class Discriminator(nn.Module):
    """An image and its class to how real the two are together.

    Args:
        classes: how many there are.
        size_px: edge of the images.
        doublings: how often an image is halved.
        width: channels after the first halving.
        channels: of an image.
    """

    def __init__(self, classes: int, size_px: int, doublings: int, width: int, channels: int) -> None:
        super().__init__()
        widths = [channels, *(width * 2**level for level in range(doublings))]
        halved = [_halved(fan_in, fan_out) for fan_in, fan_out in pairwise(widths)]
        self.halved = nn.Sequential(*halved)
        self.of_any_class = spectral_norm(nn.Linear(widths[-1], 1))
        self.of_class = spectral_norm(nn.Linear(widths[-1], classes, bias=False))
        self.positions = (size_px // 2**doublings) ** 2

    def forward(self, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` in [-2, 2] and int64 ``(B,)`` to logits ``(B,)``: above 0 says real."""
        seen = self.halved(images / 2).sum(dim=(2, 3)) / self.positions**0.5
        projected = self.of_class(seen).gather(1, classes[:, None])
        logits: torch.Tensor = (self.of_any_class(seen) + projected)[:, 0]
        return logits.float()


def _doubled(fan_in: int, fan_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(fan_in, fan_out, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()
    )


def _halved(fan_in: int, fan_out: int) -> nn.Sequential:
    return nn.Sequential(spectral_norm(nn.Conv2d(fan_in, fan_out, 4, stride=2, padding=1)), nn.LeakyReLU(0.2))
