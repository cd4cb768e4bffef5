"""Lengths of updates and distances between them, a block of numbers at a time, in float64.

Names are taken in their order: messages bring them in any, and the order of a sum decides its last bit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from wardround.core.update import Tensors, Update

BLOCK_VALUES = 2**16
"""Values of one update that are looked at together: those of ten updates stay in a core's cache."""


def norm(tensors: Tensors) -> float:
    """Return the joint L2 norm."""
    squares = (float(np.sum(np.square(tensors[name], dtype=np.float64))) for name in sorted(tensors))
    return math.sqrt(sum(squares))


def blocks(updates: Sequence[Tensors]) -> Iterator[np.ndarray]:
    """Yield float64 ``(N, b)``: the same numbers of each of N updates, all in the end and none twice."""
    for name in sorted(updates[0]) if updates else ():
        rows = [tensors[name].reshape(-1) for tensors in updates]
        for start in range(0, rows[0].size, BLOCK_VALUES):
            yield np.array([row[start : start + BLOCK_VALUES] for row in rows], np.float64)


def products(updates: Sequence[Tensors]) -> np.ndarray:
    """Return float64 ``(N, N)``: the inner product of every two updates, in one pass over them."""
    total = np.zeros((len(updates), len(updates)))
    for block in blocks(updates):
        total += block @ block.T
    return total


def centred_products(updates: Sequence[Tensors]) -> np.ndarray:
    """Return float64 ``(N, N)``: as `products`, of the differences to the mean, which distances are exact on."""
    total = np.zeros((len(updates), len(updates)))
    for block in blocks(updates):
        centred = block - block.mean(axis=0)
        total += centred @ centred.T
    return total


def squared_distances(gram: np.ndarray) -> np.ndarray:
    """Return float64 ``(N, N)``: squared L2 distances, given the inner products of every two."""
    squares = np.diag(gram)
    return np.asarray(np.maximum(squares[:, None] + squares[None, :] - 2 * gram, 0.0))


def cosines(gram: np.ndarray) -> np.ndarray:
    """Return float64 ``(N, N)``: cosines of the angles between every two; 0 where one has no length."""
    lengths = np.sqrt(np.diag(gram))
    scale = np.outer(lengths, lengths)
    return np.asarray(np.divide(gram, scale, out=np.zeros_like(gram), where=scale > 0))


def weighted_sum(updates: Sequence[Tensors], weights: Sequence[float]) -> dict[str, np.ndarray]:
    """Return name -> float64, the sum of updates times weights; those of weight 0 are not read."""
    total: dict[str, np.ndarray] = {}
    for tensors, weight in zip(updates, weights, strict=True):
        for name, value in tensors.items() if weight else ():
            part = np.asarray(weight * value.astype(np.float64))
            if name in total:
                total[name] += part
            else:
                total[name] = part
    return total


def scaled(update: Update, factor: float) -> Update:
    """Return an update times a factor; itself where that is 1."""
    if factor == 1.0:
        return update
    tensors = {
        name: np.asarray(value * value.dtype.type(factor), value.dtype) for name, value in update.tensors.items()
    }
    return dataclasses.replace(update, tensors=tensors)


def clipped(update: Update, length: float, most: float) -> Update:
    """Return an update of norm `length` shortened to `most` where it is longer."""
    return scaled(update, most / length) if length > most else update


def robust_deviation(values: np.ndarray) -> float:
    """Return 1.4826 times the median distance from the median: the deviation of the middle of normal values."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
