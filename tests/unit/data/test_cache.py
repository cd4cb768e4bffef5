"""The cache is named by what its pixels depend on, notices damage and names the folder that it cannot write."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from wardround.data.cache import CacheFile, cache_folder, fingerprint
from wardround.data.prepare import Decoding, prepared
from wardround.errors import DataError

SHAPE = (3, 8, 8, 1)
KEY = {"source": "x"}


class Sevens:
    """Decodes grey pictures of one value, and counts."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        self.calls.append(row)
        return np.full(SHAPE[1:], 7 + row, dtype=np.uint8), ""

    def name(self, row: int) -> str:
        return f"image {row}"


def test_pixels_are_made_once_and_mapped_read_only(own_cache: Path) -> None:
    decoder = Sevens()
    for made in (3, 0):
        found = prepared(KEY, SHAPE, decoder)
        assert found.made == made
        assert isinstance(found.pixels, np.memmap)
        assert found.pixels[:, 0, 0, 0].tolist() == [7, 8, 9]
        assert not found.pixels.flags.writeable
    assert decoder.calls == [0, 1, 2]
    assert sorted(path.suffix for path in own_cache.iterdir()) == [".json", ".npy"]


def test_who_holds_the_pixels_gets_the_same_array() -> None:
    first = prepared(KEY, SHAPE, Sevens()).pixels
    assert prepared(KEY, SHAPE, Sevens()).pixels is first
    assert prepared({"source": "y"}, SHAPE, Sevens()).pixels is not first


def test_another_key_or_shape_is_another_file() -> None:
    keys = [({"size": 1}, SHAPE), ({"size": 2}, SHAPE), ({"size": 2}, (4, 8, 8, 1))]
    assert len({CacheFile.of(key, shape).path for key, shape in keys}) == 3


@pytest.mark.parametrize("damaged", ["path", "facts_path"])
@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_file_is_made_again(damaged: str, damage: bytes | None) -> None:
    decoder = Sevens()
    prepared(KEY, SHAPE, decoder)
    path: Path = getattr(CacheFile.of(KEY, SHAPE), damaged)
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    assert prepared(KEY, SHAPE, decoder).pixels[0, 0, 0, 0] == 7
    assert len(decoder.calls) == 6


def test_a_changed_pixel_is_noticed_by_its_checksum() -> None:
    decoder = Sevens()
    path = prepared(KEY, SHAPE, decoder).path
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert prepared(KEY, SHAPE, decoder).made == 3  # its modification time gives it away
    path.write_bytes(bytes(content))
    os.utime(path, ns=(before.st_atime_ns, CacheFile.of(KEY, SHAPE).facts()["stamp"][1]))  # type: ignore[index]
    assert prepared(KEY, SHAPE, decoder).made == 0
    assert prepared(KEY, SHAPE, decoder, Decoding(thorough=True)).made == 3


def test_a_file_that_was_only_touched_is_kept() -> None:
    decoder = Sevens()
    path = prepared(KEY, SHAPE, decoder).path
    os.utime(path, ns=(1, 1))
    assert prepared(KEY, SHAPE, decoder).made == 0


def test_no_images_are_an_empty_array() -> None:
    assert prepared(KEY, (0, 8, 8, 3), Sevens()).pixels.shape == (0, 8, 8, 3)


def test_a_folder_that_cannot_be_written_is_named(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_cache / "file").write_text("in the way")
    monkeypatch.setenv("WARDROUND_CACHE", str(own_cache / "file"))
    with pytest.raises(DataError, match="WARDROUND_CACHE"):
        prepared(KEY, SHAPE, Sevens())


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
