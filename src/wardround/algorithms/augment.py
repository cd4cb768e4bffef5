"""Random changes to a training batch that keep its label, and move what lies on its grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

Change = Callable[[torch.Tensor], torch.Tensor]
"""Float ``(B, C, H, W)`` in, the same shape out; randomness from torch's generator, image by image."""


def unchanged(images: torch.Tensor) -> torch.Tensor:
    """Return the batch as it is."""
    return images


def flip(images: torch.Tensor) -> torch.Tensor:
    """Mirror half of the images left to right."""
    return torch.where(_coin(images), images.flip(3), images)


def dihedral(images: torch.Tensor) -> torch.Tensor:
    """Apply one of the square's eight symmetries to each image; images must be square."""
    images = flip(images)
    images = torch.where(_coin(images), images.flip(2), images)
    return torch.where(_coin(images), images.transpose(2, 3), images)


def tinted(images: torch.Tensor) -> torch.Tensor:
    """Apply a gain of ±10% and an offset of ±0.1 to each channel of each image."""
    shape = (*images.shape[:2], 1, 1)
    return images * (0.9 + 0.2 * torch.rand(shape)) + (0.2 * torch.rand(shape) - 0.1)


def relit(images: torch.Tensor) -> torch.Tensor:
    """Change the light: what another camera, lamp or setting would.

    For each channel of each image a gain of ±30% and an offset of ±0.5, for each image a contrast of ±30%, and a
    saturation between none and half as much again. Nothing is exchanged with other sites, other than in methods that
    mix the appearance of several.
    """
    channels, whole = (*images.shape[:2], 1, 1), (len(images), 1, 1, 1)
    images = images * (0.7 + 0.6 * torch.rand(channels)) + (torch.rand(channels) - 0.5)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (0.7 + 0.6 * torch.rand(whole)) + mean
    grey = images.mean(dim=1, keepdim=True)
    return grey + (images - grey) * (1.5 * torch.rand(whole))


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Move each image by up to an eighth of its edge along each axis; its own border is repeated.

    The mildest step of differentiable augmentation (Zhao et al. 2020, arXiv:2006.10738, section 3.2, who pad with
    zeros); gradients pass through it.
    """
    margin = max(1, images.shape[-1] // 8)
    height, width = images.shape[2:]
    padded = nn.functional.pad(images, (margin,) * 4, mode="replicate")
    down, right = torch.randint(0, 2 * margin + 1, (2, len(images)))
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, None, :]
    places = torch.arange(len(images))[:, None, None, None]
    channels = torch.arange(images.shape[1])[None, :, None, None]
    return padded[places, channels, rows, columns]


@dataclass(frozen=True)
class Augmentation:
    """What is done to a batch: first moved, then recoloured.

    Attributes:
        move: flips and turns, the same for everything that lies on an image's grid.
        colour: what happens to the image alone.
    """

    move: Change = unchanged
    colour: Change = unchanged

    @property
    def recolours(self) -> bool:
        """Whether it changes the levels of an image, not only their places."""
        return self.colour is not unchanged

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return float ``(B, C, H, W)`` images, changed."""
        return self.colour(self.move(images))

    def paired(self, images: torch.Tensor, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images, changed, and with each the map that lies on its grid, moved alike.

        Args:
            images: float ``(B, C, H, W)``.
            maps: ``(B, H, W)`` or ``(B, C', H, W)``: masks or images; whole numbers up to 2²⁴ stay what they are.
        """
        flat = maps.reshape(len(maps), -1, *maps.shape[-2:])
        moved = self.move(torch.cat([images, flat.to(images.dtype)], dim=1))
        images, flat = moved[:, : images.shape[1]], moved[:, images.shape[1] :]
        return self.colour(images), flat.reshape(maps.shape).to(maps.dtype)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(),
    "flip": Augmentation(flip),
    "dihedral": Augmentation(dihedral),
    "dihedral+colour": Augmentation(dihedral, tinted),
    "dihedral+appearance": Augmentation(dihedral, relit),
    "shift": Augmentation(shifted),
}


def _coin(images: torch.Tensor) -> torch.Tensor:
    return torch.rand(len(images), 1, 1, 1) < 0.5
