"""Images that sink into noise and come back: the schedule of a diffusion model, what its network learns, and DDIM.

Time runs from 0, the image, to 1, nothing but noise. At time t an image x and noise e of its shape are mixed to
``a x + s e`` with ``a = cos(pi t / 2)`` and ``s = sin(pi t / 2)``, so that ``a² + s² = 1``: the cosine schedule of
Nichol and Dhariwal 2021 (arXiv:2102.09672) in continuous time and without their offset. What is learned is the velocity
``v = a e - s x`` (Salimans and Ho 2022, arXiv:2202.00512, section 4), from which image and noise follow at every time,
also at 1, where the mixture says nothing of the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from wardround.tasks.inputs import HIGHEST, LOWEST

Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Mixtures ``(B, C, H, W)`` and times ``(B,)`` to velocities ``(B, C, H, W)``."""


def shares(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much of the image and how much of the noise is in the mixture at `times`, each of that shape."""
    angles = times * (math.pi / 2)
    return torch.cos(angles), torch.sin(angles)


def mixed(images: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mixtures of images and noise, and their velocities.

    Args:
        images: float ``(B, C, H, W)``.
        noise: of the same shape.
        times: float ``(B,)`` in [0, 1].
    """
    image_share, noise_share = shares(times[:, None, None, None])
    return image_share * images + noise_share * noise, image_share * noise - noise_share * images


def taken_apart(
    mixture: torch.Tensor, velocity: torch.Tensor, times: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return image and noise of mixtures whose velocities are known: `mixed` undone."""
    image_share, noise_share = shares(times[:, None, None, None])
    return image_share * mixture - noise_share * velocity, noise_share * mixture + image_share * velocity


def denoised(velocity: Velocity, noise: torch.Tensor, steps: int) -> torch.Tensor:
    """Return the images that noise is turned into: DDIM without new noise (Song et al. 2021, arXiv:2010.02502, 4.1).

    In each of equal steps of time the mixture is taken apart, the image is held between black and white, and both are
    mixed again for the next time. Nothing is drawn: the same noise gives the same images.

    Args:
        velocity: what the network says.
        noise: float ``(B, C, H, W)``, standard normal.
        steps: how many, >= 1.
    """
    mixture = noise
    for step in range(steps, 0, -1):
        now, later = (noise.new_full((len(noise),), place / steps) for place in (step, step - 1))
        images = taken_apart(mixture, velocity(mixture, now), now)[0].clamp(LOWEST, HIGHEST)
        image_share, noise_share = shares(now[:, None, None, None])
        left = (mixture - image_share * images) / noise_share
        mixture = mixed(images, left, later)[0]
    return mixture
