"""How far synthetic images are from real ones: distances between two clouds of features, and how they overlap.

Every number depends on the features, so whoever reports one names them with it. "FID" is the Fréchet distance on one
network's features, Inception's, and no name for any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from wardround.errors import DataError

FloatArray = NDArray[np.float64]
NEIGHBOURS_OF_A_MANIFOLD = 3
NEIGHBOURS_OF_A_BALL = 5
ROWS_AT_A_TIME = 1024


def frechet_distance(real: NDArray[Any], made: NDArray[Any]) -> float:
    """Return the squared Fréchet distance between normal laws with the means and covariances of two clouds.

    ``|m - m'|² + tr(C + C' - 2 (C C')^½)`` (Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500). With N
    points of F features each it is biased upwards by about F² / N: compare at equal N.

    Args:
        real: ``(N, F)``, N >= 2.
        made: ``(M, F)``, M >= 2.

    Raises:
        DataError: the clouds do not fit together, or one has fewer than two points.
    """
    real, made = _clouds(real, made, least=2)
    shift = real.mean(axis=0) - made.mean(axis=0)
    one, other = _factor(real), _factor(made)
    shared = np.linalg.svd(one @ other.T, compute_uv=False).sum()
    return float(max(0.0, shift @ shift + (one**2).sum() + (other**2).sum() - 2 * shared))


def kernel_distance(real: NDArray[Any], made: NDArray[Any]) -> float:
    """Return the squared maximum mean discrepancy with the kernel ``(x·y / F + 1)³``, without bias.

    Bińkowski et al. 2018, arXiv:1801.01401, over all pairs instead of blocks. It may be below 0 where the clouds agree.

    Args:
        real: ``(N, F)``, N >= 2.
        made: ``(M, F)``, M >= 2.

    Raises:
        DataError: as for `frechet_distance`.
    """
    real, made = _clouds(real, made, least=2)
    within = sum(_mean_of_pairs(cloud) for cloud in (real, made))
    return within - 2 * _kernel_sum(real, made) / (len(real) * len(made))


@dataclass(frozen=True)
class Overlap:
    """How two clouds cover each other; see `overlap`.

    Attributes:
        precision: share of synthetic points inside the real manifold.
        recall: share of real points inside the synthetic manifold.
        density: mean number of real balls that a synthetic point lies in, divided by their neighbours; may exceed 1.
        coverage: share of real balls with a synthetic point in them.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def overlap(real: NDArray[Any], made: NDArray[Any]) -> Overlap:
    """Return precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    arXiv:1904.06991 with balls up to the third neighbour, and arXiv:2002.09797 up to the fifth. A point on the edge of
    a ball is inside.

    Args:
        real: ``(N, F)``, N >= 6.
        made: ``(M, F)``, M >= 6.

    Raises:
        DataError: the clouds do not fit together, or one has fewer points.
    """
    real, made = _clouds(real, made, least=NEIGHBOURS_OF_A_BALL + 1)
    between = cdist(real, made)
    near_real, near_made = (np.sort(cdist(cloud, cloud), axis=1) for cloud in (real, made))
    manifold = between <= near_real[:, NEIGHBOURS_OF_A_MANIFOLD, None]
    balls = between <= near_real[:, NEIGHBOURS_OF_A_BALL, None]
    return Overlap(
        precision=float(manifold.any(axis=0).mean()),
        recall=float((between <= near_made[None, :, NEIGHBOURS_OF_A_MANIFOLD]).any(axis=1).mean()),
        density=float(balls.sum(axis=0).mean() / NEIGHBOURS_OF_A_BALL),
        coverage=float(balls.any(axis=1).mean()),
    )


def _clouds(real: NDArray[Any], made: NDArray[Any], least: int) -> tuple[FloatArray, FloatArray]:
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1] or not real.shape[1]:
        raise DataError(f"features of shape {real.shape} and {made.shape} cannot be compared: give (N, F) and (M, F)")
    if min(len(real), len(made)) < least:
        raise DataError(f"{len(real)} and {len(made)} images are too few to compare: give at least {least} of each")
    if not (np.isfinite(real).all() and np.isfinite(made).all()):
        raise DataError("features hold a NaN or an infinity: they cannot be compared")
    return real.astype(np.float64), made.astype(np.float64)


def _factor(cloud: FloatArray) -> FloatArray:
    """Return A with AᵀA the cloud's covariance, so that the singular values of ABᵀ are the roots of those of C C'.

    It has as many rows as the cloud or as features, whichever are fewer.
    """
    centred = (cloud - cloud.mean(axis=0)) / np.sqrt(len(cloud) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(cloud) > cloud.shape[1] else centred


def _kernel_sum(one: FloatArray, other: FloatArray) -> float:
    """Add the kernel up over all pairs, some rows at a time: memory stays that of the clouds."""
    starts = range(0, len(one), ROWS_AT_A_TIME)
    return sum(float(_kernel(one[start : start + ROWS_AT_A_TIME] @ other.T, one.shape[1]).sum()) for start in starts)


def _mean_of_pairs(cloud: FloatArray) -> float:
    count = len(cloud)
    alone = float(_kernel((cloud**2).sum(axis=1), cloud.shape[1]).sum())
    return (_kernel_sum(cloud, cloud) - alone) / (count * (count - 1))


def _kernel(products: FloatArray, features: int) -> FloatArray:
    return np.asarray((products / features + 1) ** 3)
