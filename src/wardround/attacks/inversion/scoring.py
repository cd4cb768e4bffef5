"""What an attack gave away of each image, against the true image and beside the floors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from wardround.attacks.inversion.cleanup import CleanUp, cleaned
from wardround.metrics.image_quality import ms_ssim, psnr_db, ssim
from wardround.metrics.reconstruction import coarse_copy, corrected_psnr_db, identity_rank, pairing

COARSE = 4
REBUILT_DB, REBUILT_SSIM = 35.0, 0.9


@dataclass(frozen=True)
class Likeness:
    """How like a true image another one is.

    Attributes:
        psnr_db: plain.
        corrected_psnr_db: after the best gain and offset.
        ssim: see `metrics.image_quality.ssim`.
        ms_ssim: see `metrics.image_quality.ms_ssim`.
    """

    psnr_db: float
    corrected_psnr_db: float
    ssim: float
    ms_ssim: float

    @classmethod
    def of(cls, true: np.ndarray, other: np.ndarray) -> Likeness:
        """Compare two images ``(H, W, C)`` in ``[0, 1]``."""
        return cls(psnr_db(true, other), corrected_psnr_db(true, other), ssim(true, other), ms_ssim(true, other))


@dataclass(frozen=True, eq=False)
class Leak:
    """What an attack gave away of one image.

    Attributes:
        true: the image, float ``(H, W, C)`` in ``[0, 1]``.
        raw: what the attack rebuilt; all zeros where it found nothing for this image.
        best: `raw` after the clean-up that came nearest to the true image, by PSNR.
        clean_up: its name.
        of_raw: likeness of `raw`.
        of_best: likeness of `best`.
        of_mean: likeness of the mean of public images, which anybody has: a floor.
        of_coarse: likeness of a copy a quarter as wide: what it would take to call an image recognised.
        rank: place of the true image among all of the site's by likeness to `best`; 1 identifies the patient's image.
        pool: images it was sought among.
    """

    true: np.ndarray
    raw: np.ndarray
    best: np.ndarray
    clean_up: str
    of_raw: Likeness
    of_best: Likeness
    of_mean: Likeness
    of_coarse: Likeness
    rank: int
    pool: int

    @property
    def is_rebuilt(self) -> bool:
        """Whether hardly anything of the image stayed hidden."""
        return self.of_best.psnr_db > REBUILT_DB and self.of_best.ssim > REBUILT_SSIM

    @property
    def is_recognisable(self) -> bool:
        """Whether the reconstruction shows more than a copy a quarter as wide, or picks the image out of the pool."""
        return self.of_best.psnr_db > self.of_coarse.psnr_db or self.rank == 1

    @property
    def shows_something(self) -> bool:
        """Whether it is nearer to the true image than the mean of public ones."""
        return self.of_best.psnr_db > self.of_mean.psnr_db


def leaks(
    found: np.ndarray,
    true: np.ndarray,
    mean: np.ndarray,
    pool: np.ndarray,
    places: np.ndarray,
    clean_ups: Mapping[str, CleanUp] = MappingProxyType({}),
) -> list[Leak]:
    """Score a reconstruction, which is in no order, against the images that were behind the update.

    Args:
        found: float ``(M, H, W, C)`` in ``[0, 1]``.
        true: float ``(N, H, W, C)`` in ``[0, 1]``: the images as they are, before any defence touched them.
        mean: ``(H, W, C)``, the mean of images that the attacker may have.
        pool: ``(P, H, W, C)``, the site's images.
        places: int ``(N,)``, where in the pool each true image is.
        clean_ups: of an attacker who knows the defence, beside those of everybody.
    """
    given = pairing(true, found)
    return [
        _leak(image, found, place, mean, pool, at, clean_ups)
        for image, place, at in zip(true, given, places, strict=True)
    ]


def _leak(
    true: np.ndarray,
    found: np.ndarray,
    place: int,
    mean: np.ndarray,
    pool: np.ndarray,
    at: int,
    clean_ups: Mapping[str, CleanUp],
) -> Leak:
    raw = np.clip(found[place], 0, 1) if place >= 0 else np.zeros_like(true)
    candidates = cleaned(raw, clean_ups)
    name = max(candidates, key=lambda one: psnr_db(true, candidates[one]))
    return Leak(
        true=true,
        raw=raw,
        best=candidates[name],
        clean_up=name,
        of_raw=Likeness.of(true, raw),
        of_best=Likeness.of(true, candidates[name]),
        of_mean=Likeness.of(true, mean),
        of_coarse=Likeness.of(true, coarse_copy(true, COARSE)),
        rank=identity_rank(candidates[name], pool, at),
        pool=len(pool),
    )
