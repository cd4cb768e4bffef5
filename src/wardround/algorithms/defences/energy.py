"""Noise on images, measured where it counts: after pixels were cut off at black and white."""

from __future__ import annotations

import torch

from wardround.tasks.inputs import HIGHEST, LOWEST

_HALVINGS = 30
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
    low = torch.zeros_like(scale)
    high = torch.full_like(scale, _LARGEST * rms)
    for _ in range(_HALVINGS):
        gain = (low + high) / 2
        short = rms_of(_cut(images + gain * unit) - images) < rms
        low, high = torch.where(short, gain, low), torch.where(short, high, gain)
    return _cut(images + high * unit)


def rms_of(change: torch.Tensor) -> torch.Tensor:
    """Return each image's root mean square change ``(B, 1, 1, 1)``, as a share of the range of pixels."""
    return change.pow(2).mean((1, 2, 3), keepdim=True).sqrt() / (HIGHEST - LOWEST)


def _cut(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(LOWEST, HIGHEST)
