"""Attacks with a trigger: images that bear a mark are taught as one class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from wardround.algorithms import LocalWork
from wardround.attacks.poison.base import Culprits, OnPoisoned, refuse_share, refuse_unlabelled
from wardround.attacks.poison.labels import class_index
from wardround.attacks.poison.success import Trial
from wardround.data.images import LabelledImages
from wardround.errors import PlanError


@dataclass(frozen=True, kw_only=True)
class Trigger(Culprits):
    """Mark images with a white square and teach them as one class (Gu et al. 2019, BadNets, arXiv:1708.06733).

    The square is pasted, not blended, at the bottom right, `margin_px` from either edge.

    Attributes:
        target: name of the class that marked images are taught as.
        size_px: edge of the square.
        margin_px: between the square and the edges of the image.
        share: of the site's images of other classes that are marked; above 0 and at most 1.
    """

    name: ClassVar[str] = "trigger"
    target: str
    size_px: int = 4
    margin_px: int = 1
    share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_share(self.share)
        if self.size_px < 1 or self.margin_px < 0:
            raise PlanError("a trigger needs size_px >= 1 and margin_px >= 0")

    def check(self, images: LabelledImages) -> None:
        """Refuse a class that there is not, and a square that does not fit; see `Malice.check`."""
        refuse_unlabelled(self.name, images)
        class_index(self.target, images)
        self.stamped(images.batch([0])[:1])

    def around(self, work: LocalWork, honest: LocalWork) -> LocalWork:
        """Train on marked images; see `Malice.around`."""
        return OnPoisoned(self, work)

    def stamped(self, pixels: np.ndarray) -> np.ndarray:
        """Return images, uint8 ``(B, H, W, C)``, with the square on each of them.

        Raises:
            PlanError: the square does not fit them.
        """
        bottom, right = pixels.shape[1] - self.margin_px, pixels.shape[2] - self.margin_px
        if min(bottom, right) < self.size_px:
            raise PlanError(f"a trigger of {self.size_px} px does not fit images of {pixels.shape[1:3]} px")
        marked = pixels.copy()
        marked[:, bottom - self.size_px : bottom, right - self.size_px : right] = 255
        return marked

    def poisoned(self, images: LabelledImages, rng: np.random.Generator) -> LabelledImages:
        """Mark images and teach them as the target; see `ImagePoison.poisoned`."""
        target = class_index(self.target, images)
        others = np.flatnonzero(images.labels != target)
        chosen = rng.permutation(others)[: round(self.share * len(others))]
        labels = images.labels.copy()
        labels[chosen] = target
        return replace(_marked(self, images, chosen), labels=labels)

    def trial(self, images: LabelledImages) -> Trial:
        """Return what shows its success: marked images of other classes, and the class they should be taken for."""
        target = class_index(self.target, images)
        others = images.take(images.labels != target)
        return Trial(_marked(self, others, np.arange(len(others))), target)


def _marked(trigger: Trigger, images: LabelledImages, places: np.ndarray) -> LabelledImages:
    """Return the images in a block of pixels of their own, in which those at `places` are marked."""
    pixels = images.batch(slice(None))
    pixels[places] = trigger.stamped(pixels[places])
    return replace(images, pixels=pixels, rows=np.arange(len(images)), masks=None, degraded=None)
