"""Wavelets: against sums in space, written down from the definition."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch

from wardround.tasks.models.wavelets import morlet_bank, thinned

EDGE = 16


def morlet_at(row: float, column: float, scale: int, angle: float, slant: float) -> tuple[complex, float]:
    """Return oscillation times envelope, and the envelope, at one point."""
    along = row * math.cos(angle) + column * math.sin(angle)
    across = -row * math.sin(angle) + column * math.cos(angle)
    size = 0.8 * 2**scale
    envelope = math.exp(-(along**2 + (across * slant) ** 2) / (2 * size**2)) * slant / (2 * math.pi * size**2)
    return envelope * cmath.exp(1j * 0.75 * math.pi / 2**scale * along), envelope


def slow_modulus(image: np.ndarray, scale: int, angle: float, slant: float, step: int) -> np.ndarray:
    """Return |image * psi| at every `step`-th pixel, by a sum over all pixels of the periodic image."""
    height, width = image.shape
    reach = range(-2 * EDGE, 2 * EDGE)
    samples = {(r, c): morlet_at(r, c, scale, angle, slant) for r in reach for c in reach}
    ratio = sum(wave for wave, _ in samples.values()) / sum(envelope for _, envelope in samples.values())
    kernel = np.zeros((height, width), complex)
    for (r, c), (wave, envelope) in samples.items():
        kernel[r % height, c % width] += wave - ratio * envelope
    found = np.zeros((height // step, width // step))
    for r in range(0, height, step):
        for c in range(0, width, step):
            rows, columns = (r - np.arange(height)) % height, (c - np.arange(width)) % width
            found[r // step, c // step] = abs((image * kernel[np.ix_(rows, columns)]).sum())
    return found


@pytest.mark.parametrize(("scale", "index"), [(0, 1), (1, 0), (2, 5)])
def test_moduli_are_those_of_sums_in_space(scale: int, index: int) -> None:
    image = np.random.default_rng(3).normal(size=(EDGE, EDGE))
    angles = 8
    bank = morlet_bank(EDGE, EDGE, 3, angles)
    spectrum = torch.fft.fft2(torch.from_numpy(image)) * bank[scale][index]
    found = torch.fft.ifft2(thinned(spectrum, 2**scale)).abs().numpy()
    expected = slow_modulus(image, scale, math.pi * index / angles, 4 / angles, 2**scale)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_wavelets_do_not_see_a_constant_and_cover_the_other_frequencies() -> None:
    bank = torch.cat(morlet_bank(EDGE, EDGE, 3, 8))
    assert float(bank[:, 0, 0].abs().max()) < 1e-6
    # A real image has both halves of the circle; the bank holds one.
    mirrored = torch.roll(bank.flip(1, 2), (1, 1), (1, 2))
    power = (bank**2 + mirrored**2).sum(0)
    rows = torch.fft.fftfreq(EDGE)[:, None].abs()
    ring = (rows**2 + rows.T**2).sqrt()
    assert float(power[(ring > 0.1) & (ring < 0.4)].min()) > 0.1


def test_thinning_on_coefficients_is_thinning_of_the_image() -> None:
    image = torch.randn(2, 12, 8, dtype=torch.float64)
    found = torch.fft.ifft2(thinned(torch.fft.fft2(image), 4)).real
    torch.testing.assert_close(found, image[:, ::4, ::4])
