"""A compact style-based generator against the discriminator of `dcgan`; both are told the class."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from wardround.tasks.models.dcgan import PairSpec

_SLOPE = 0.2
_MAPPING_PACE = 0.1
"""The mapping's weights move so much slower than the rest (StyleGAN takes .01, over runs a thousand times as long)."""


@dataclass(frozen=True)
class StyleGan(PairSpec):
    """A style-based generator and a projection discriminator; see `PairSpec`.

    The generator is that of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) made small: two mapping layers, one
    modulated 3x3 convolution a size, images added up from all sizes; the full size has half of `width`. Noise for
    single pixels, style mixing and path lengths are left out, and levels end in a tanh, since the images here have
    margins that are plainly black. It has no statistics of a batch: all that hospitals average is weights.
    """

    def generator(self, channels: int, classes: int) -> StyleGenerator:
        """Return the generator alone."""
        return StyleGenerator(self.latent, classes, self.size_px, self.doublings, self.width, channels)


class StyleGenerator(nn.Module):
    """Noise and class to a style, and a style to an image: a learned small one, doubled and bent by the style.

    Args:
        latent: numbers of noise.
        classes: how many there are.
        size_px: edge of the images.
        doublings: how often the first image is doubled.
        width: channels at half the size of the images.
        channels: of an image.
    """

    def __init__(self, latent: int, classes: int, size_px: int, doublings: int, width: int, channels: int) -> None:
        super().__init__()
        self.base, self.latent = size_px // 2**doublings, latent
        widths = [*(width * 2**level for level in reversed(range(doublings))), width // 2]
        self.told = _Scaled(classes, latent)
        self.mapping = nn.ModuleList(_Scaled(fan_in, latent, _MAPPING_PACE) for fan_in in (2 * latent, latent))
        self.start = nn.Parameter(torch.randn(1, widths[0], self.base, self.base))
        self.first = _Modulated(widths[0], widths[0], 3, latent)
        self.bent = nn.ModuleList(_Modulated(*fans, 3, latent) for fans in pairwise(widths))
        self.shown = nn.ModuleList(_Modulated(fan, channels, 1, latent, demodulated=False) for fan in widths)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map float ``(B, latent + classes)``, noise and a one for the class, to ``(B, C, H, W)`` in [-2, 2]."""
        noise, told = _unit(inputs[:, : self.latent]), _unit(self.told(inputs[:, self.latent :]))
        style = torch.cat([noise, told], dim=1)
        for layer in self.mapping:
            style = _active(layer(style))
        seen = _active(self.first(self.start.expand(len(inputs), -1, -1, -1), style))
        image = self.shown[0](seen, style)
        for bent, shown in zip(self.bent, self.shown[1:], strict=True):
            seen = _active(bent(seen, style, doubled=True))
            image = _doubled(image) + shown(seen, style)
        return 2 * torch.tanh(image.float())


class _Scaled(nn.Module):
    """A linear layer whose weights are scaled as it is used, so that all layers learn at one pace.

    Equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1).
    """

    def __init__(self, fan_in: int, fan_out: int, pace: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in) / pace)
        self.bias = nn.Parameter(torch.full((fan_out,), bias / pace))
        self.scale, self.pace = pace / fan_in**0.5, pace

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(inputs, self.weight * self.scale, self.bias * self.pace)


class _Modulated(nn.Module):
    """A convolution whose weights a style scales by input channel, and which are then brought to unit length.

    Scaling weights by image is scaling what goes in, and dividing by their length is dividing what comes out, which
    needs one convolution for the whole batch (Karras et al. 2020, section 2.2).
    """

    def __init__(self, fan_in: int, fan_out: int, size: int, latent: int, demodulated: bool = True) -> None:
        super().__init__()
        self.style = _Scaled(latent, fan_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, size, size))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.scale, self.size, self.demodulated = 1 / (fan_in * size * size) ** 0.5, size, demodulated

    def forward(self, seen: torch.Tensor, style: torch.Tensor, doubled: bool = False) -> torch.Tensor:
        weight, scales = self.weight * self.scale, self.style(style)
        scaled = seen * scales[:, :, None, None]
        bent = nn.functional.conv2d(_doubled(scaled) if doubled else scaled, weight, padding=self.size // 2)
        if self.demodulated:
            lengths = scales.square() @ weight.square().sum(dim=(2, 3)).T
            bent = bent * torch.rsqrt(lengths + 1e-8)[:, :, None, None]
        return bent + self.bias[None, :, None, None]


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return rows * torch.rsqrt(rows.square().mean(dim=1, keepdim=True) + 1e-8)


def _active(seen: torch.Tensor) -> torch.Tensor:
    return nn.functional.leaky_relu(seen, _SLOPE) * 2**0.5


def _doubled(images: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
