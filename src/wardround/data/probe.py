"""Published images that the coordinator of a plan has for itself, to measure updates on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.data.groups import Groups
from wardround.data.images import LabelledImages
from wardround.errors import DataError, PlanError


@dataclass(frozen=True)
class ProbeShare:
    """The ``[probe]`` table: images that are set aside before the rest is dealt to sites.

    Attributes:
        share: of the patients or lesions of each class that may train, one at least; above 0 and at most half.
    """

    share: float = 0.03

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.5:
            raise PlanError(f"probe share = {self.share} is not above 0 and at most .5")

    def set_aside(self, images: LabelledImages, seed: int) -> tuple[LabelledImages, LabelledImages]:
        """Return what is left for the sites, and what the coordinator has. No patient or lesion is in both.

        Args:
            images: of all sites; published ones, since they leave the sites.
            seed: of the split.

        Raises:
            DataError: the images are not published.
        """
        if not images.public:
            raise DataError("[probe] sets published images aside for the coordinator, and these are not: leave it out")
        groups = Groups.of(images)
        rank = groups.shuffled(seed, "probe")
        aside = np.zeros(len(rank), bool)
        for label in np.unique(groups.labels):
            members = np.flatnonzero((groups.labels == label) & groups.may_train)
            ordered = members[np.argsort(rank[members])]
            aside[ordered[: max(1, round(self.share * len(ordered)))]] = True
        own = aside[groups.of_image]
        return images.take(~own), images.take(own)
