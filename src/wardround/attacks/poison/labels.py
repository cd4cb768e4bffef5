"""Attacks on labels: images of one class are taught as another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from wardround.algorithms import LocalWork
from wardround.attacks.poison.base import Culprits, OnPoisoned, refuse_share, refuse_unlabelled
from wardround.attacks.poison.success import Trial
from wardround.data.images import LabelledImages
from wardround.errors import PlanError


@dataclass(frozen=True, kw_only=True)
class LabelFlip(Culprits):
    """Teach images of one class as another (Tolpegin et al. 2020, arXiv:2007.08432).

    Attributes:
        source: name of the class whose images are taught wrongly; empty takes all classes but `target`.
        target: name of the class that they are taught as.
        share: of these images, above 0 and at most 1.
    """

    name: ClassVar[str] = "label_flip"
    target: str
    source: str = ""
    share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_share(self.share)
        if self.source == self.target:
            raise PlanError(f"a label_flip from {self.source!r} to itself changes nothing: name another target")

    def check(self, images: LabelledImages) -> None:
        """Refuse classes that there are not, and labels that nobody learns; see `Malice.check`."""
        refuse_unlabelled(self.name, images)
        for name in filter(None, (self.source, self.target)):
            class_index(name, images)

    def around(self, work: LocalWork, honest: LocalWork) -> LocalWork:
        """Train on flipped labels; see `Malice.around`."""
        return OnPoisoned(self, work)

    def poisoned(self, images: LabelledImages, rng: np.random.Generator) -> LabelledImages:
        """Flip labels; see `ImagePoison.poisoned`."""
        victims = np.flatnonzero(self._is_source(images))
        chosen = rng.permutation(victims)[: round(self.share * len(victims))]
        labels = images.labels.copy()
        labels[chosen] = class_index(self.target, images)
        return replace(images, labels=labels)

    def trial(self, images: LabelledImages) -> Trial:
        """Return what shows its success: clean images of the source, and the class that they should be taken for."""
        return Trial(images.take(self._is_source(images)), class_index(self.target, images))

    def _is_source(self, images: LabelledImages) -> np.ndarray:
        if not self.source:
            return np.asarray(images.labels != class_index(self.target, images))
        return np.asarray(images.labels == class_index(self.source, images))


def class_index(name: str, images: LabelledImages) -> int:
    """Return the label of a class.

    Raises:
        PlanError: there is no such class.
    """
    if name not in images.classes:
        raise PlanError(f"an [[attack]] names the class {name!r}, but the images show {', '.join(images.classes)}")
    return images.classes.index(name)
