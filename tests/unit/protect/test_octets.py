"""Bytes put together and taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.core.names import is_site_name
from wardround.errors import WireError
from wardround.protect.octets import Reader, counted, joined

PARTS = st.lists(st.binary(max_size=6), max_size=4)


def test_the_format_is_the_documented_one() -> None:
    assert joined("hello", b"ab", b"") == b"wardround/1/hello\0\0\0\0\x02ab\0\0\0\0"


@given(one=st.tuples(st.sampled_from(["a", "ab"]), PARTS), other=st.tuples(st.sampled_from(["a", "ab"]), PARTS))
def test_different_lists_never_meet(one: tuple[str, list[bytes]], other: tuple[str, list[bytes]]) -> None:
    assert (joined(one[0], *one[1]) == joined(other[0], *other[1])) == (one == other)


@given(st.binary(max_size=30), st.integers(0, 12))
def test_a_reader_never_takes_what_is_not_there(data: bytes, limit: int) -> None:
    reader = Reader("this", counted(data), 100)
    if len(data) > limit:
        with pytest.raises(WireError, match="this holds a part of"):
            reader.take_counted(limit)
    else:
        assert reader.take_counted(limit) == data
        reader.end()
        with pytest.raises(WireError, match="this is cut short"):
            reader.take(1)


def test_every_refusal_names_the_bytes() -> None:
    for attempt in (
        lambda: Reader("this", b"abc", 2),
        lambda: Reader("this", "abc", 9),  # type: ignore[arg-type]
        lambda: Reader("this", None, 9),  # type: ignore[arg-type]
        lambda: Reader("this", b"abc", 9).end(),
        lambda: Reader("this", b"abc", 9).start(b"abd"),
        lambda: Reader("this", b"abc", 9).start(b"abcd"),
        lambda: Reader("this", b"\xff\xff\xff\xff", 9).take_counted(9),
        lambda: Reader("this", counted(b"\xff"), 9).take_name(),
        lambda: Reader("this", counted(b""), 9).take_name(),
        lambda: Reader("this", counted(b"\n"), 9).take_name(),
    ):
        with pytest.raises(WireError, match=r"^this (has|is|holds)"):
            attempt()


def test_names() -> None:
    assert all(is_site_name(name) for name in ("north", "südwest", "Site 1", "x" * 128, "'\"\\"))
    assert not any(
        is_site_name(name) for name in ("", "a\nb", "a\x1b[2J", "x" * 129, "ü" * 65, "\ud800", b"north", None)
    )
