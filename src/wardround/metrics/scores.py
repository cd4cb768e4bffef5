"""Numbers of single images, and their means: what a segmentation or a restoration is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.errors import DataError
from wardround.metrics.clinical import FloatArray
from wardround.metrics.clusters import Clustered


@dataclass(frozen=True, eq=False)
class Scores(Clustered):
    """What each of N images scored.

    Attributes:
        values: metric -> float64 ``(N,)``; NaN where the metric is not defined for an image.
        groups: str ``(N,)``, the patient or lesion of each image; images that share a name are one cluster.

    Raises:
        DataError: the arrays do not fit together, or a value is infinite.
    """

    values: Mapping[str, FloatArray]
    groups: NDArray[Any]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        for name, column in self.values.items():
            if column.dtype != np.float64 or column.shape != self.groups.shape or column.ndim != 1:
                raise DataError(f"{name} is {column.dtype} {column.shape}; give one float64 for each image")
            if np.isinf(column).any():
                raise DataError(f"{name} holds an infinite value; leave what is not defined as NaN")

    def __len__(self) -> int:
        """Return the number of images."""
        return self.groups.size

    def take(self, chosen: NDArray[Any]) -> Scores:
        """Return the rows in `chosen`, a boolean mask ``(N,)`` or indices."""
        return Scores({name: column[chosen] for name, column in self.values.items()}, self.groups[chosen])


@dataclass(frozen=True)
class MeanOf:
    """The statistic "mean of one metric over the images for which it is defined".

    Attributes:
        metric: its name among the scores.
    """

    metric: str

    def __call__(self, scores: Scores, weights: FloatArray) -> FloatArray:
        """Return the mean under weights ``(..., N)``, shape ``(...)``; NaN where no image with weight defines it."""
        column = scores.values[self.metric]
        defined = ~np.isnan(column)
        total = np.asarray(weights[..., defined].sum(axis=-1))
        undefined = np.full(total.shape, np.nan)
        return np.asarray(np.divide(weights[..., defined] @ column[defined], total, out=undefined, where=total > 0))
