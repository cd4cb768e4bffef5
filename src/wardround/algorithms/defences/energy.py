"""Noise on images, measured where it counts: after pixels were cut off at black and white."""

from __future__ import annotations

import torch

from wardround.tasks.inputs import HIGHEST, LOWEST

_STEPS = 40
_CLOSE = 1e-6
_LARGEST = 64.0


def disguised(images: torch.Tensor, noise: torch.Tensor, rms: float) -> torch.Tensor:
    """Return images plus as much of `noise` as leaves them `rms` away from what they were.

    Pixels are cut off at black and white first, so that two noises of the same `rms` cost an attacker who does nothing
    the same squared error, however many of their pixels were cut off. The PSNR of the result is ``-20 log10(rms)``.

    Args:
        images: float ``(B, C, H, W)`` in ``[LOWEST, HIGHEST]``.
        noise: the same shape; only its direction counts. Noise of zeros changes nothing.
        rms: root mean square of the change, as a share of the range of pixels.

    Returns:
        The same shape, in ``[LOWEST, HIGHEST]``. Where even large noise cannot change an image that much (it is black
        and the noise negative), it is changed as much as it can be.
    """
    scale = noise.pow(2).mean((1, 2, 3), keepdim=True).sqrt().clamp_min(torch.finfo(noise.dtype).tiny)
    unit = noise / scale * (HIGHEST - LOWEST)
    tiny = torch.finfo(unit.dtype).tiny
    # The squared change is a sum of min(gain² noise², room²): concave in gain² and made of straight pieces. Newton's
    # method therefore comes from below, never past it, and ends after as many steps as there are pieces on its way.
    gain_squared = torch.full_like(scale, rms**2)
    for _ in range(_STEPS):
        changed = images + gain_squared.sqrt() * unit
        kept = _cut(changed)
        missing = (rms**2 - rms_of(kept - images).pow(2)).clamp_min(0)
        if not bool((missing > _CLOSE * rms**2).any()):
            break
        slope = (unit * (kept == changed)).pow(2).mean((1, 2, 3), keepdim=True) / (HIGHEST - LOWEST) ** 2
        gain_squared = (gain_squared + missing / slope.clamp_min(tiny)).clamp_max((_LARGEST * rms) ** 2)
    return _cut(images + gain_squared.sqrt() * unit)


def rms_of(change: torch.Tensor) -> torch.Tensor:
    """Return each image's root mean square change ``(B, 1, 1, 1)``, as a share of the range of pixels."""
    return change.pow(2).mean((1, 2, 3), keepdim=True).sqrt() / (HIGHEST - LOWEST)


def _cut(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(LOWEST, HIGHEST)
