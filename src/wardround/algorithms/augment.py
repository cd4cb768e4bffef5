"""Random changes to a training batch that keep its label."""

from __future__ import annotations

from collections.abc import Callable

import torch

Augmentation = Callable[[torch.Tensor], torch.Tensor]
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


def dihedral_and_colour(images: torch.Tensor) -> torch.Tensor:
    """Apply `dihedral`, then a gain of ±10% and an offset of ±0.1 to each channel of each image."""
    images = dihedral(images)
    shape = (*images.shape[:2], 1, 1)
    return images * (0.9 + 0.2 * torch.rand(shape)) + (0.2 * torch.rand(shape) - 0.1)


def dihedral_and_appearance(images: torch.Tensor) -> torch.Tensor:
    """Apply `dihedral`, then change the light: what another camera, lamp or setting would.

    For each channel of each image a gain of ±30% and an offset of ±0.5, for each image a contrast of ±30%, and a
    saturation between none and half as much again. Nothing is exchanged with other sites, other than in methods that
    mix the appearance of several.
    """
    images = dihedral(images)
    channels, whole = (*images.shape[:2], 1, 1), (len(images), 1, 1, 1)
    images = images * (0.7 + 0.6 * torch.rand(channels)) + (torch.rand(channels) - 0.5)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (0.7 + 0.6 * torch.rand(whole)) + mean
    grey = images.mean(dim=1, keepdim=True)
    return grey + (images - grey) * (1.5 * torch.rand(whole))


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": unchanged,
    "flip": flip,
    "dihedral": dihedral,
    "dihedral+colour": dihedral_and_colour,
    "dihedral+appearance": dihedral_and_appearance,
}


def _coin(images: torch.Tensor) -> torch.Tensor:
    return torch.rand(len(images), 1, 1, 1) < 0.5
