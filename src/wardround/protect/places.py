"""Which coordinates travel, in as few bytes as a bitmap or gaps between them take."""

from __future__ import annotations

import numpy as np

from wardround.errors import WireError

BITMAP, GAPS = 0, 1
_MOST_GAP_BYTES = 5  # a gap below 2^35
_MORE, _SEVEN = 0x80, 0x7F


def to_bytes(places: np.ndarray, length: int) -> tuple[int, bytes]:
    """Write places as a bitmap, or as gaps of seven bits a byte, whichever is shorter.

    Args:
        places: int64, ascending, in [0, length).
        length: of the row, below 2^35.

    Returns:
        Which of the two, and the bytes.
    """
    gaps = _gap_bytes(places)
    if gaps.size < (length + 7) // 8:
        return GAPS, gaps.tobytes()
    marks = np.zeros(length, np.bool_)
    marks[places] = True
    return BITMAP, np.packbits(marks).tobytes()


def from_bytes(kind: int, data: np.ndarray, count: int, length: int) -> tuple[np.ndarray, int]:
    """Read what `to_bytes` wrote, from the beginning of bytes of another party.

    Args:
        kind: `BITMAP` or `GAPS`.
        data: uint8 ``(n,)``; more may follow the places.
        count: how many places there are.
        length: of the row.

    Returns:
        int64 places, ascending, in [0, length), and how many bytes they took.

    Raises:
        WireError: they are not `count` places of such a row, or not written in the one legal way.
    """
    if kind == BITMAP:
        return _from_bitmap(data, count, length)
    if kind == GAPS:
        return _from_gaps(data, count, length)
    raise WireError(f"places of kind {kind} are unknown to this installation")


def _gap_bytes(places: np.ndarray) -> np.ndarray:
    """Write gaps between places, less one, seven bits a byte, least first; a set high bit says that more follow."""
    gaps = np.diff(places, prepend=-1) - 1
    lengths = np.ones(gaps.size, np.int64)
    for bits in range(7, 7 * _MOST_GAP_BYTES, 7):
        lengths += gaps >= 1 << bits
    ends = np.cumsum(lengths)
    written = np.empty(int(ends[-1]) if ends.size else 0, np.uint8)
    for place in range(int(lengths.max(initial=0))):
        here = lengths > place
        more = np.where(lengths[here] > place + 1, _MORE, 0)
        written[ends[here] - lengths[here] + place] = (gaps[here] >> 7 * place & _SEVEN) | more
    return written


def _from_bitmap(data: np.ndarray, count: int, length: int) -> tuple[np.ndarray, int]:
    size = (length + 7) // 8
    if data.size < size:
        raise WireError("a bitmap of places is cut short")
    marks = np.unpackbits(data[:size])
    places = np.flatnonzero(marks)
    if places.size != count or marks[length:].any():
        raise WireError(f"a bitmap does not mark the {count} places that it should")
    return places.astype(np.int64), size


def _from_gaps(data: np.ndarray, count: int, length: int) -> tuple[np.ndarray, int]:
    ends = np.flatnonzero(data[: _MOST_GAP_BYTES * count] < _MORE)[:count] + 1
    if ends.size != count:
        raise WireError(f"there are fewer than the {count} places that an update should have")
    if not count:
        return np.empty(0, np.int64), 0
    lengths = np.diff(ends, prepend=0)
    if lengths.max() > _MOST_GAP_BYTES or (data[ends - 1][lengths > 1] == 0).any():
        raise WireError("a gap between places is longer than it may be, or padded")
    gaps = np.zeros(count, np.int64)
    for place in range(int(lengths.max())):
        here = lengths > place
        gaps[here] |= (data[(ends - lengths)[here] + place].astype(np.int64) & _SEVEN) << 7 * place
    # A sum of up to 2^31 gaps below 2^35 stays below 2^63 only if every step is looked at.
    if gaps.max() >= length:
        raise WireError("a gap leads beyond the update")
    places = np.cumsum(gaps + 1) - 1
    if places[-1] >= length:
        raise WireError("a place lies beyond the update")
    return places, int(ends[-1])
