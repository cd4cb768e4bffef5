"""The cache makes pixels once, survives damage and names the folder that it cannot write."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from wardround.data.cache import cache_folder, cached_pixels, fingerprint
from wardround.errors import DataError

SHAPE = (3, 8, 8, 1)


def fill_with(value: int, calls: list[int]) -> object:
    def fill(block: np.ndarray) -> None:
        calls.append(value)
        block[:] = value

    return fill


def test_pixels_are_made_once_and_mapped_read_only(own_cache: Path) -> None:
    calls: list[int] = []
    for _ in range(2):
        pixels = cached_pixels({"source": "x"}, SHAPE, fill_with(7, calls))  # type: ignore[arg-type]
        assert isinstance(pixels, np.memmap)
        assert (pixels == 7).all()
        assert not pixels.flags.writeable
    assert calls == [7]
    assert [path.suffix for path in own_cache.iterdir()] == [".npy"]


def test_who_holds_the_pixels_gets_the_same_array(own_cache: Path) -> None:
    first = cached_pixels({"source": "x"}, SHAPE, fill_with(7, []))  # type: ignore[arg-type]
    assert cached_pixels({"source": "x"}, SHAPE, fill_with(7, [])) is first  # type: ignore[arg-type]
    assert cached_pixels({"source": "y"}, SHAPE, fill_with(8, [])) is not first  # type: ignore[arg-type]


def test_another_key_or_shape_is_another_file(own_cache: Path) -> None:
    calls: list[int] = []
    for key, shape in (({"size": 1}, SHAPE), ({"size": 2}, SHAPE), ({"size": 2}, (4, 8, 8, 1))):
        cached_pixels(key, shape, fill_with(1, calls))  # type: ignore[arg-type]
    assert len(calls) == len(list(own_cache.iterdir())) == 3


def test_a_damaged_file_is_made_again(own_cache: Path) -> None:
    calls: list[int] = []
    cached_pixels({"source": "x"}, SHAPE, fill_with(7, calls))  # type: ignore[arg-type]
    (path,) = own_cache.iterdir()
    for damage in (b"", b"rubbish", path.read_bytes()[:-10]):
        path.write_bytes(damage)
        assert (cached_pixels({"source": "x"}, SHAPE, fill_with(7, calls)) == 7).all()  # type: ignore[arg-type]
    assert len(calls) == 4


def test_a_failure_leaves_nothing_behind(own_cache: Path) -> None:
    def fail(block: np.ndarray) -> None:
        raise DataError("image 2 is damaged")

    with pytest.raises(DataError, match="image 2"):
        cached_pixels({"source": "x"}, SHAPE, fail)
    assert list(own_cache.iterdir()) == []


def test_no_images_are_an_empty_array() -> None:
    assert cached_pixels({"source": "x"}, (0, 8, 8, 3), lambda block: None).shape == (0, 8, 8, 3)


def test_a_folder_that_cannot_be_written_is_named(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_cache / "file").write_text("in the way")
    monkeypatch.setenv("WARDROUND_CACHE", str(own_cache / "file"))
    with pytest.raises(DataError, match="WARDROUND_CACHE"):
        cached_pixels({"source": "x"}, SHAPE, lambda block: None)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    assert cache_folder() == own_cache
    monkeypatch.delenv("WARDROUND_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/wardround")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/wardround"


def test_a_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    before = fingerprint([path])
    assert fingerprint([path]) == before
    os.utime(path, ns=(1, 1))
    assert fingerprint([path]) != before
    with pytest.raises(DataError, match="gone"):
        fingerprint([tmp_path / "gone"])
