"""Morlet wavelets on a grid that wraps around, as multipliers of an image's Fourier coefficients.

The family and its constants are those of Bruna and Mallat 2013 (Invariant scattering convolution networks, IEEE TPAMI
35(8), section 4.1) as they are used since: at scale j an envelope of 0.8 x 2^j pixels, an oscillation of 3 pi / 4 / 2^j
radians a pixel, four angles across the envelope's slant. The mean of each wavelet is exactly zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

ENVELOPE_PX = 0.8
OSCILLATION = 3 * math.pi / 4
REACH = 2
"""Neighbouring copies of the grid that the largest envelopes still touch, on either side."""


@lru_cache(maxsize=8)
def morlet_bank(height: int, width: int, scales: int, angles: int) -> tuple[torch.Tensor, ...]:
    """Return the multipliers of all wavelets: they are real, because a Morlet wavelet at -x is its own conjugate.

    Args:
        height: rows of the grid.
        width: columns of the grid.
        scales: J; scale j in 0 … J-1.
        angles: L; angle l is l pi / L. The other half of the circle gives the same moduli for real images.

    Returns:
        For each scale float32 ``(L, height, width)``, in the order of `torch.fft.fft2`.
    """
    bank = []
    for scale in range(scales):
        filters = [_morlet(height, width, scale, math.pi * index / angles, 4 / angles) for index in range(angles)]
        bank.append(torch.from_numpy(np.stack([np.fft.fft2(each).real for each in filters]).astype(np.float32)))
    return tuple(bank)


def _morlet(height: int, width: int, scale: int, angle: float, slant: float) -> np.ndarray:
    """Return the wavelet in space, complex ``(height, width)``, its centre in the corner."""
    rows = np.arange(-REACH * height, (REACH + 1) * height)[:, None]
    columns = np.arange(-REACH * width, (REACH + 1) * width)[None, :]
    along = rows * math.cos(angle) + columns * math.sin(angle)
    across = columns * math.cos(angle) - rows * math.sin(angle)
    size = ENVELOPE_PX * 2**scale
    envelope = np.exp(-(along**2 + (slant * across) ** 2) / (2 * size**2)) * slant / (2 * math.pi * size**2)
    wave = envelope * np.exp(1j * OSCILLATION / 2**scale * along)
    return _wrapped(wave - envelope * (wave.sum() / envelope.sum()), height, width)


def _wrapped(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    copies = 2 * REACH + 1
    return np.asarray(plane.reshape(copies, height, copies, width).sum(axis=(0, 2)))


def thinned(spectrum: torch.Tensor, factor: int) -> torch.Tensor:
    """Keep every `factor`-th row and column of an image, on its Fourier coefficients ``(…, H, W)``.

    Args:
        spectrum: `torch.fft.fft2` of the image; H and W are multiples of `factor`.
        factor: 1 or more.

    Returns:
        ``(…, H / factor, W / factor)``, `torch.fft.fft2` of the thinned image.
    """
    *lead, height, width = spectrum.shape
    return spectrum.reshape(*lead, factor, height // factor, factor, width // factor).mean(dim=(-4, -2))
