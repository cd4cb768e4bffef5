"""Whether synthetic images are copies of training images, and whether they tell who was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from wardround.errors import DataError
from wardround.metrics.clinical import binary_auc
from wardround.metrics.synthesis import FloatArray

LEAST_IMAGES = 20
CLOSE_PERCENT = 1.0
"""Pairs of real images that are closer than all but this share of nearest neighbours count as near-copies."""


@dataclass(frozen=True)
class Copies:
    """What nearest neighbours say of N synthetic images.

    Attributes:
        copied: share of the synthetic images that are closer to a training image than nearly all held-out images are;
            `CLOSE_PERCENT` of held-out images are as close.
        nearer_training: share of the synthetic images whose nearest real image is one of the training images, among as
            many training as held-out images; a half where nothing was copied.
        membership_auc: how well the distance to the nearest synthetic image tells training images from held-out ones; a
            half where it does not.
        low: lower end of the AUC's 95% interval.
        high: upper end.
    """

    copied: float
    nearer_training: float
    membership_auc: float
    low: float
    high: float

    @property
    def passes(self) -> bool:
        """Whether nothing points at copies: the interval of the AUC holds a half or lies below, few are copied."""
        return self.low <= 0.5 and self.copied <= 2 * CLOSE_PERCENT / 100


def sought_copies(
    made: NDArray[Any], training: NDArray[Any], held_out: NDArray[Any], rng: np.random.Generator, replicates: int = 1000
) -> Copies:
    """Seek training images among synthetic ones.

    Three questions with one distance, the Euclidean one to real images: pixels find copies, features also what looks
    alike. The share of nearer training images is the data-copying test of Meehan et al. 2020 (arXiv:2004.05675) on
    single images, membership the black-box attack of Chen et al. 2020 (GAN-Leaks, arXiv:1909.03935), uncalibrated.

    Args:
        made: ``(N, D)``, of synthetic images.
        training: ``(T, D)``, of images that the generator learned from.
        held_out: ``(H, D)``, of images of the same kind that nobody trained on, H >= 20.
        rng: draws as many training images as there are held-out ones, and the bootstrap's replicates.
        replicates: of the bootstrap over real images.

    Raises:
        DataError: there are too few images, or they do not fit together.
    """
    if (
        min(len(made), len(training), len(held_out)) < LEAST_IMAGES
        or not made.shape[1:] == training.shape[1:] == (held_out.shape[1:])
    ):
        raise DataError(
            f"copies are sought among {LEAST_IMAGES} synthetic, as many training and as many held-out images or more, "
            "all of one size"
        )
    count = min(len(training), len(held_out))
    members, others = (_drawn(each, count, rng) for each in (training, held_out))
    to_members, to_others = cdist(made, members), cdist(made, others)
    usual = cdist(others, training).min(axis=1)
    closest = cdist(made, training).min(axis=1)
    scores = -np.concatenate([to_members.min(axis=0), to_others.min(axis=0)])
    is_member = np.repeat([True, False], count)
    drawn = rng.integers(0, count, size=(replicates, 2, count))
    weights = np.stack([np.concatenate([np.bincount(half, minlength=count) for half in pair]) for pair in drawn])
    low, high = np.percentile(binary_auc(scores, is_member, weights.astype(np.float64)), [2.5, 97.5])
    return Copies(
        copied=float((closest < np.percentile(usual, CLOSE_PERCENT)).mean()),
        nearer_training=float((to_members.min(axis=1) < to_others.min(axis=1)).mean()),
        membership_auc=float(binary_auc(scores, is_member)),
        low=float(low),
        high=float(high),
    )


def _drawn(cloud: NDArray[Any], count: int, rng: np.random.Generator) -> FloatArray:
    return np.asarray(cloud[rng.permutation(len(cloud))[:count]], np.float64)
