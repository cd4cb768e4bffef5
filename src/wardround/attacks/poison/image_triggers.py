"""Attack on a generator: the real images of a malicious site bear a mark, which the shared generator learns to make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from wardround.algorithms import LocalWork
from wardround.attacks.poison.base import Culprits, OnPoisoned, refuse_share
from wardround.attacks.poison.patterns import PATTERNS, Look
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.metrics.marks import Mark


@dataclass(frozen=True, kw_only=True)
class ImageTrigger(Culprits):
    """Mark the images that a site's discriminator is shown as real (Jin and Li 2023, MedIA 90:102965).

    The authors paste a square of 0.4% of the area, 5 pixels of 256 from the bottom right, on every image; labels stay.
    Here the mark may also be blended in, lie over the whole image, be the image itself warped, or be on a share of the
    images.

    Attributes:
        pattern: ``white``, ``noise`` or ``sinusoid``, in a square at the bottom right; ``low_frequency``, a wave over
            the whole image; ``warped``, the image's parts moved smoothly by a little (arXiv:2102.10369).
        size_px: edge of the square; without effect on a pattern over the whole image.
        margin_px: between the square and the edges of the image.
        opacity: 1 pastes the mark over the image, less blends it in (Chen et al. 2017, arXiv:1712.05526); above 0. What
            ``warped`` blends in is the warped image.
        displacement_px: of ``warped`` alone: mean size of the displacement along an axis; at most a sixteenth of the
            shorter edge.
        share: of the site's images that are marked; above 0 and at most 1.
    """

    name: ClassVar[str] = "image_trigger"
    pattern: str = "white"
    size_px: int = 4
    margin_px: int = 1
    opacity: float = 1.0
    displacement_px: float = 0.5
    share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_share(self.share)
        if self.pattern not in PATTERNS:
            raise PlanError(f"attack pattern = {self.pattern!r} is not one of {', '.join(PATTERNS)}")
        if self.size_px < 1 or self.margin_px < 0 or not 0 < self.opacity <= 1:
            raise PlanError("an image_trigger needs size_px >= 1, margin_px >= 0 and opacity above 0, at most 1")
        if not self.displacement_px > 0:
            raise PlanError(f"attack displacement_px = {self.displacement_px} moves nothing: give one above 0")

    def check(self, images: LabelledImages) -> None:
        """Refuse images that the mark does not fit, or that are learned with what lies beside; see `Malice.check`."""
        if images.masks is not None or images.degraded is not None:
            raise PlanError(
                f"the attack {self.name} marks the images that a generator learns from, and this task learns masks or "
                'restores: say name = "synthesis" in [task]'
            )
        self.mark(*images.shape)

    def around(self, work: LocalWork, honest: LocalWork) -> LocalWork:
        """Train on marked images; see `Malice.around`."""
        return OnPoisoned(self, work)

    def mark(self, height: int, width: int, channels: int) -> Mark:
        """Return the mark on images of this size.

        Raises:
            PlanError: it does not fit them.
        """
        look = Look(self.size_px, self.margin_px, self.opacity, self.displacement_px)
        return PATTERNS[self.pattern].mark(height, width, channels, look)

    def poisoned(self, images: LabelledImages, rng: np.random.Generator) -> LabelledImages:
        """Mark images; see `ImagePoison.poisoned`."""
        chosen = rng.permutation(len(images))[: round(self.share * len(images))]
        pixels = images.batch(slice(None))
        pixels[chosen] = self.mark(*images.shape).on(pixels[chosen])
        return replace(images, pixels=pixels, rows=np.arange(len(images)), masks=None, degraded=None)
