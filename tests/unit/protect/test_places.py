"""Places there and back, in the shorter of two ways, and nothing else believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import WireError
from wardround.protect.places import BITMAP, GAPS, from_bytes, to_bytes

LENGTHS = st.integers(1, 5_000)


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    length = draw(LENGTHS)
    share = draw(st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return np.flatnonzero(rng.random(length) < share).astype(np.int64), length


def row_of_bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


@given(rows())
@settings(deadline=None)
def test_places_come_back_and_take_no_more_than_a_bitmap(row: tuple[np.ndarray, int]) -> None:
    places, length = row
    kind, data = to_bytes(places, length)
    assert len(data) <= (length + 7) // 8
    again, taken = from_bytes(kind, row_of_bytes(data + b"more"), places.size, length)
    assert taken == len(data)
    np.testing.assert_array_equal(again, places)


@pytest.mark.parametrize(("share", "kind", "bytes_per_place"), [(0.01, GAPS, 1.3), (0.3, BITMAP, 0.42)])
def test_few_places_are_gaps_and_many_a_bitmap(share: float, kind: int, bytes_per_place: float) -> None:
    places = np.flatnonzero(np.random.default_rng(0).random(100_000) < share)
    found, data = to_bytes(places, 100_000)
    assert found == kind
    assert len(data) / places.size < bytes_per_place


def test_gaps_of_several_bytes_are_written_least_first() -> None:
    assert to_bytes(np.array([0, 1, 129, 20_000]), 2**20) == (GAPS, bytes([0, 0, 127, 0x9E, 0x9B, 0x01]))
    far = np.array([2**31])
    kind, data = to_bytes(far, 2**32)
    np.testing.assert_array_equal(from_bytes(kind, row_of_bytes(data), 1, 2**32)[0], far)


HOSTILE = {
    "a kind that is not known": (7, b"\x00", 1, 8),
    "a bitmap that is cut short": (BITMAP, b"\xff", 8, 9),
    "a bitmap of another count": (BITMAP, b"\xff", 7, 8),
    "a bitmap with marks in its padding": (BITMAP, b"\xe0", 3, 2),
    "gaps that are cut short": (GAPS, b"\x00\x80", 2, 100),
    "fewer gaps than said": (GAPS, b"\x00", 2, 100),
    "a gap that never ends": (GAPS, b"\x80" * 6 + b"\x01", 1, 2**34),
    "a padded gap": (GAPS, b"\x80\x00", 1, 100),
    "a gap beyond the row": (GAPS, b"\x64", 1, 100),
    "a sum of gaps beyond the row": (GAPS, b"\x31\x32", 2, 100),
    "places in nothing": (GAPS, b"", 1, 100),
}


@pytest.mark.parametrize(("kind", "data", "count", "length"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_list_of_places_is_refused(kind: int, data: bytes, count: int, length: int) -> None:
    with pytest.raises(WireError):
        from_bytes(kind, row_of_bytes(data), count, length)


@given(st.sampled_from([BITMAP, GAPS]), st.binary(max_size=64), st.integers(0, 70), st.integers(0, 70))
@settings(deadline=None)
def test_any_bytes_are_places_of_the_row_or_refused(kind: int, data: bytes, count: int, length: int) -> None:
    try:
        places, taken = from_bytes(kind, row_of_bytes(data), count, length)
    except WireError:
        return
    assert places.size == count
    assert taken <= len(data)
    assert (np.diff(places) > 0).all()
    assert not count or (places[0] >= 0 and places[-1] < length)
