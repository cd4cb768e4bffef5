"""Simulated degradations of clean images: low-dose noise, and computed tomography with few views or photons.

They are simulations, for methods to be compared on: no scanner's scatter, beam hardening, detector or reconstruction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wardround.errors import PlanError

Grey = NDArray[np.float64]


@dataclass(frozen=True)
class PhotonNoise:
    """Poisson–Gaussian noise of a low dose: photons are counted, and the counter is noisy itself.

    ``y = Poisson(photons * x) / photons + Normal(0, read_noise)``, pixel by pixel (Foi et al. 2008, IEEE TIP 17(10)).

    Attributes:
        photons: mean number that a white pixel counts.
        read_noise: standard deviation of the counter's noise, in shares of white.
        sites: names of the sites that it is for; none: every site without one of its own.
    """

    name: ClassVar[str] = "photon_noise"

    photons: float = 50.0
    read_noise: float = 0.05
    sites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a dose and a noise that cannot be.

        Raises:
            PlanError: a field is out of range.
        """
        if not 1 <= self.photons <= 1e9 or not 0 <= self.read_noise <= 1:
            raise PlanError("photon_noise needs photons from 1 to 1e9 and read_noise from 0 to 1")

    def applied(self, clean: Grey, rng: np.random.Generator) -> Grey:
        """Return what is seen of `clean`, ``(H, W)`` with grey levels from 0 to 1; the result may leave that range."""
        return rng.poisson(self.photons * clean) / self.photons + rng.normal(0, self.read_noise, clean.shape)


@dataclass(frozen=True)
class SimulatedCt:
    """A parallel-beam scan of the image as a slice of attenuation, and its filtered back-projection.

    Line integrals are scikit-image's `radon`; each detector element counts ``Poisson(photons * exp(-integral))``, one
    photon at least; the logarithm of the counts is reconstructed by `iradon` with a ramp filter. Few views give
    streaks, few photons noise, a short arc shadows.

    Attributes:
        views: number of angles, 4 to 4096, spread evenly over the arc.
        photons: that leave the source towards each detector element, 100 to 1e9.
        arc_deg: the angles span this many degrees, up to 180; less is a limited angle.
        first_deg: angle of the first view.
        attenuation: line integral along the edge of a white image, .1 to 20: 4 is about 20 cm of water.
        sites: names of the sites that it is for; none: every site without one of its own.
    """

    name: ClassVar[str] = "ct"

    views: int = 64
    photons: float = 1e5
    arc_deg: float = 180.0
    first_deg: float = 0.0
    attenuation: float = 4.0
    sites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a scan that cannot be.

        Raises:
            PlanError: a field is out of range.
        """
        if not 4 <= self.views <= 4096 or not 100 <= self.photons <= 1e9:
            raise PlanError("ct needs views from 4 to 4096 and photons from 100 to 1e9")
        if not 10 <= self.arc_deg <= 180 or not math.isfinite(self.first_deg) or not 0.1 <= self.attenuation <= 20:
            raise PlanError("ct needs arc_deg from 10 to 180, first_deg finite and attenuation from 0.1 to 20")

    def applied(self, clean: Grey, rng: np.random.Generator) -> Grey:
        """Return the reconstruction of `clean`, which is square; see `PhotonNoise.applied`."""
        from skimage.transform import iradon, radon

        angles = self.first_deg + np.arange(self.views) * self.arc_deg / self.views
        per_pixel = self.attenuation / len(clean)
        integrals = radon(clean * per_pixel, angles, circle=False)  # type: ignore[no-untyped-call]
        counts = rng.poisson(self.photons * np.exp(-np.maximum(integrals, 0)))
        measured = np.log(self.photons / np.maximum(counts, 1))
        found = iradon(measured, angles, output_size=len(clean), circle=False)  # type: ignore[no-untyped-call]
        return np.asarray(found, np.float64) / per_pixel


DEGRADATIONS: dict[str, type[PhotonNoise | SimulatedCt]] = {kind.name: kind for kind in (PhotonNoise, SimulatedCt)}
"""Names a plan may use in ``[[task.degradation]] by = …``."""
AnyDegradation = PhotonNoise | SimulatedCt


def of_site(degradations: tuple[AnyDegradation, ...], site: str) -> AnyDegradation:
    """Return the degradation that names `site`, else the one that names none.

    Raises:
        PlanError: there is neither.
    """
    named = [each for each in degradations if site in each.sites]
    usual = [each for each in degradations if not each.sites]
    if not named and not usual:
        raise PlanError(f"no [[task.degradation]] is for site {site!r}: name it in sites, or add one without sites")
    return (named or usual)[0]


def refuse_ambiguous(degradations: tuple[AnyDegradation, ...]) -> None:
    """Refuse a list from which a site could not tell its own.

    Raises:
        PlanError: it is empty, names a site twice or has two that name none.
    """
    if not degradations:
        raise PlanError("restoration has nothing to restore: give a [[task.degradation]]")
    named = [site for each in degradations for site in each.sites]
    if twice := [site for site in named if named.count(site) > 1]:
        raise PlanError(f"two [[task.degradation]] name site {twice[0]!r}: leave it in one")
    if sum(not each.sites for each in degradations) > 1:
        raise PlanError("two [[task.degradation]] name no sites: one may be for all that the others do not name")
