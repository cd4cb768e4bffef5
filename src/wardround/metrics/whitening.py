"""Lengths and angles in units of how much real images vary: Mahalanobis's, with a covariance from few images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.errors import DataError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Whitening:
    """The inner product ``a' S^-1 b`` with a shrunk covariance ``S`` of images around the mean of their class.

    ``S = (1 - s) C + s m I``, where C is the sample covariance and m its mean variance; s, the shrinkage, is that of
    Ledoit and Wolf 2004 (J. Multivariate Anal. 88:365), which tends to the least squared error. C has no more than N
    directions, so that nothing of size ``F x F`` is formed: images of any size will do.

    Attributes:
        images: float64 ``(N, F)``, less the mean of their class.
        shrinkage: s, in (0, 1].
        variance: m, > 0.
    """

    images: FloatArray
    shrinkage: float
    variance: float

    @classmethod
    def of(cls, images: NDArray[Any], labels: NDArray[Any]) -> Whitening:
        """Estimate it.

        Args:
            images: ``(N, F)``, N >= 2.
            labels: ``(N,)``, their classes.

        Raises:
            DataError: there are fewer than two images, or they do not vary within their classes.
        """
        centred = np.array(images, np.float64)
        for label in np.unique(labels):
            centred[labels == label] -= centred[labels == label].mean(axis=0)
        count, features = centred.shape
        gram = centred @ centred.T / max(1, count)
        variance = float(np.trace(gram)) / features
        if count < 2 or variance <= 0:
            raise DataError("how real images vary cannot be told from these few: give [probe] a larger share")
        squares = float(np.square(gram).sum())
        apart = squares - features * variance**2
        noise = (float(np.square(np.diag(gram) * count).sum()) - count * squares) / count**2
        shrinkage = min(1.0, max(noise / apart, 1e-6)) if apart > 0 else 1.0
        return cls(centred, shrinkage, variance)

    def applied(self, vectors: NDArray[Any]) -> FloatArray:
        """Return ``S^-1 v`` for each row of float ``(..., F)``.

        By Woodbury's identity, with the N x N matrix of the images' inner products.
        """
        floor = self.shrinkage * self.variance
        if self.shrinkage >= 1:
            return np.asarray(vectors / floor, np.float64)
        inner = len(self.images) * floor / (1 - self.shrinkage) * np.eye(len(self.images))
        solved = np.linalg.solve(
            inner + self.images @ self.images.T,
            self.images @ np.moveaxis(vectors, -1, 0).reshape(self.images.shape[1], -1),
        )
        explained = (self.images.T @ solved).T.reshape(vectors.shape)
        return np.asarray((vectors - explained) / floor, np.float64)
