"""Features of real images, each beside those of a synthetic image of the same class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.errors import DataError

MOST_FEATURES = 4096


@dataclass(frozen=True, eq=False)
class FeaturePairs:
    """What N real images and N synthetic ones look like to one feature extractor.

    Attributes:
        real: float32 ``(N, F)``.
        made: float32 ``(N, F)``, of synthetic images.
        labels: int64 ``(N,)``, the class of the real and of the synthetic image in each row.
        groups: str ``(N,)``, the patient or lesion of each real image.

    Raises:
        DataError: the arrays do not fit together, or a feature is not finite.
    """

    real: NDArray[Any]
    made: NDArray[Any]
    labels: NDArray[Any]
    groups: NDArray[Any]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        for name, cloud in (("real", self.real), ("made", self.made)):
            if cloud.dtype != np.float32 or cloud.ndim != 2 or cloud.shape[1] > MOST_FEATURES:
                raise DataError(f"features called {name} are {cloud.dtype} {cloud.shape}; give float32 (N, F)")
            if not np.isfinite(cloud).all():
                raise DataError(f"features called {name} hold a NaN or an infinity")
        if self.real.shape != self.made.shape or self.labels.dtype != np.int64:
            raise DataError(f"features have the shapes {self.real.shape} and {self.made.shape}, or labels no integers")
        if self.labels.shape != (len(self.real),) or self.groups.shape != (len(self.real),):
            raise DataError("features, labels and groups are not of as many images")

    def __len__(self) -> int:
        """Return the number of real images."""
        return len(self.real)

    def take(self, chosen: NDArray[Any]) -> FeaturePairs:
        """Return the rows in `chosen`, a boolean mask ``(N,)`` or indices."""
        return FeaturePairs(self.real[chosen], self.made[chosen], self.labels[chosen], self.groups[chosen])
