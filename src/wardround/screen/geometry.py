"""Lengths and angles of updates, which screens judge by; a block of numbers at a time, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from wardround.core.update import Tensors, Update

BLOCK_VALUES = 2**17
"""Values of one update that are turned into float64 at a time."""


def norm(tensors: Tensors) -> float:
    """Return the joint L2 norm."""
    return math.sqrt(sum(float(np.sum(np.square(value, dtype=np.float64))) for value in tensors.values()))


def blocks(updates: Sequence[Tensors]) -> Iterator[np.ndarray]:
    """Yield float64 ``(len(updates), b)``: the same numbers of every update, a block at a time, none twice."""
    for name in updates[0] if updates else ():
        rows = [tensors[name].reshape(-1) for tensors in updates]
        step = max(1, BLOCK_VALUES)
        for start in range(0, rows[0].size, step):
            yield np.stack([row[start : start + step] for row in rows]).astype(np.float64)


def products(updates: Sequence[Tensors]) -> np.ndarray:
    """Return float64 ``(N, N)``: the inner product of every two updates, in one pass over them."""
    total = np.zeros((len(updates), len(updates)))
    for block in blocks(updates):
        total += block @ block.T
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


def scaled(update: Update, factor: float) -> Update:
    """Return an update times a factor; itself where that is 1."""
    if factor == 1.0:
        return update
    tensors = {
        name: np.asarray(value * value.dtype.type(factor), value.dtype) for name, value in update.tensors.items()
    }
    return Update(update.site, update.round, tensors, update.num_examples, update.reported, update.trust)


def clipped(update: Update, length: float, most: float) -> Update:
    """Return an update of norm `length` shortened to `most` where it is longer."""
    return scaled(update, most / length) if length > most else update


def robust_deviation(values: np.ndarray) -> float:
    """Return 1.4826 times the median distance from the median: the deviation of the middle of normal values."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
