"""Sorts the same number of several updates by comparing two rows at a time: exact, and at the speed of memory."""

from __future__ import annotations

from functools import cache

import numpy as np

Pair = tuple[int, int]


@cache
def comparisons(count: int, first: int, last: int) -> tuple[Pair, ...]:
    """Return which rows to compare, in order, so that those from `first` up to `last` hold what sorting puts there.

    Each comparison ``(i, j)`` leaves the smaller value in row i and the larger one in row j. Batcher's merge exchange
    for any number of rows (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M), less what the wanted rows do
    not depend on.
    """
    network: list[Pair] = []
    top = 1 << max(0, (count - 1).bit_length() - 1)
    p = top
    while p > 0 and count > 1:
        q, r, d = top, 0, p
        while True:
            network += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    needed = set(range(first, last))
    kept: list[Pair] = []
    for pair in reversed(network):
        if needed & set(pair):
            needed |= set(pair)
            kept.append(pair)
    return tuple(reversed(kept))


def sort_rows(rows: np.ndarray, first: int, last: int, spare: np.ndarray) -> None:
    """Put into rows `first` up to `last` what sorting each column would put there, in place; other rows are spoiled.

    Args:
        rows: float ``(N, B)``.
        first: of the rows that are wanted.
        last: one beyond them.
        spare: ``(B,)`` of the same dtype, overwritten.
    """
    for low, high in comparisons(len(rows), first, last):
        np.minimum(rows[low], rows[high], out=spare)
        np.maximum(rows[low], rows[high], out=rows[high])
        rows[low] = spare
