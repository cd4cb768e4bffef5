"""How strong images are in which direction: a covariance of channels for each frequency of the cosine transform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn, idctn

from wardround.data.images import LabelledImages
from wardround.errors import PlanError

SAMPLE, LEAST = 256, 8
_PLANE = (-2, -1)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The second moments of images around their mean, frequency by frequency.

    Frequencies of the cosine transform are taken as uncorrelated, which they nearly are where images look alike
    wherever one looks (Ahmed, Natarajan & Rao 1974); channels, which are not, have a covariance for each frequency.

    Attributes:
        powers: ``(H, W, C)``: variances along the axes, never negative.
        axes: ``(H, W, C, C)``: the axes as columns.
    """

    powers: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, images: LabelledImages) -> Spectrum:
        """Measure the first images of a site, `SAMPLE` at most.

        Raises:
            PlanError: they are too few, or all alike: noise with their spectrum would be none.
        """
        pixels = images.batch(np.arange(min(SAMPLE, len(images)))).astype(np.float64) / 255
        found = cls.of_changes(np.moveaxis(pixels - pixels.mean(0), 3, 1))
        if len(images) < LEAST or not found.powers[1:, 1:].any():
            raise PlanError(
                f"matched_noise measures how a site's images vary, and needs {LEAST} or more that are not all alike: "
                "choose gaussian_images"
            )
        return found

    @classmethod
    def of_changes(cls, changes: np.ndarray) -> Spectrum:
        """Measure ``(N, C, H, W)`` deviations; their mean is not taken off."""
        covariance = covariances(changes)
        powers, axes = np.linalg.eigh(covariance)
        return cls(np.maximum(powers, 0), axes)

    @property
    def covariances(self) -> np.ndarray:
        """The covariance of channels for each frequency, ``(H, W, C, C)``."""
        return np.asarray((self.axes * self.powers[..., None, :]) @ np.swapaxes(self.axes, -1, -2))

    def to_the(self, exponent: float) -> Spectrum:
        """Return the spectrum with every variance to a power, and none in the mean of each channel."""
        powers = self.powers**exponent
        powers[0, 0] = 0
        return Spectrum(powers, self.axes)

    def reversed(self) -> Spectrum:
        """Return the spectrum whose strongest direction has the power of the weakest, and so on; the mean has none."""
        flat = self.powers.reshape(-1)
        moved = np.arange(self.powers.shape[-1], len(flat))  # the first frequency is the mean
        order = moved[np.argsort(flat[moved], kind="stable")]
        powers = np.zeros_like(flat)
        powers[order] = flat[order[::-1]]
        return Spectrum(powers.reshape(self.powers.shape), self.axes)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return Gaussian noise with this spectrum, float64 ``(C, H, W)``."""
        along = np.sqrt(self.powers) * rng.standard_normal(self.powers.shape)
        mixed = np.moveaxis((self.axes @ along[..., None])[..., 0], 2, 0)
        return np.asarray(idctn(mixed, axes=_PLANE, norm="ortho"))


def covariances(changes: np.ndarray) -> np.ndarray:
    """Return the covariance of channels at each frequency, ``(H, W, C, C)``, of ``(N, C, H, W)`` deviations."""
    waves = np.moveaxis(dctn(changes, axes=_PLANE, norm="ortho"), 1, 3)
    return np.asarray(np.einsum("nhwc,nhwd->hwcd", waves, waves) / len(changes))
