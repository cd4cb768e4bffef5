"""Preparing: the same bytes with any number of processes, after a kill, and around images that cannot be used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from wardround.data.cache import BLOCK, CacheFile
from wardround.data.prepare import Decoding, prepared
from wardround.errors import DataError

COUNT = 2 * BLOCK + 5
SHAPE = (COUNT, 8, 8, 1)
KEY = {"source": "prepare"}


@dataclass(frozen=True)
class Pictures:
    """Decodes pictures of a value each; some are refused, one may take its process down, one is interrupted."""

    refused: tuple[int, ...] = ()
    deadly: int = -1
    interrupted: int = -1

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        if row == self.deadly:
            os.kill(os.getpid(), 9)
        if row == self.interrupted:
            raise KeyboardInterrupt
        if row in self.refused:
            raise DataError(f"image {row} is damaged")
        return np.full(SHAPE[1:], row % 251, dtype=np.uint8), "odd" if row % 2 else ""

    def name(self, row: int) -> str:
        return f"image {row}"


def test_processes_make_the_same_bytes() -> None:
    here = prepared(KEY, SHAPE, Pictures())
    before = here.path.read_bytes()
    here.path.unlink()
    there = prepared(KEY, SHAPE, Pictures(), Decoding(workers=2))
    assert there.made == COUNT
    assert there.path.read_bytes() == before


def test_an_interrupted_preparation_goes_on_where_it_stopped() -> None:
    with pytest.raises(KeyboardInterrupt):
        prepared(KEY, SHAPE, Pictures(interrupted=2 * BLOCK))
    cache = CacheFile.of(KEY, SHAPE)
    assert cache.part.exists()
    assert not cache.path.exists()
    with cache.journal.open("a") as journal:
        journal.write('7\n[9, "x", {}, {}]\n[0, "other", {}, {}]\n[2, "torn')
    found = prepared(KEY, SHAPE, Pictures())
    assert found.made == COUNT - 2 * BLOCK
    assert found.notes == {"odd": COUNT // 2}
    assert found.pixels[:, 0, 0, 0].tolist() == [row % 251 for row in range(COUNT)]


def test_a_block_that_changed_while_nobody_looked_is_made_again() -> None:
    with pytest.raises(KeyboardInterrupt):
        prepared(KEY, SHAPE, Pictures(interrupted=2 * BLOCK))
    part = CacheFile.of(KEY, SHAPE).mapped_part()
    assert part is not None
    part[0] = 99
    part.flush()
    found = prepared(KEY, SHAPE, Pictures())
    assert found.made == COUNT - BLOCK
    assert found.pixels[0, 0, 0, 0] == 0


def test_the_first_refused_image_ends_it_and_leaves_nothing_behind(own_cache: Path) -> None:
    with pytest.raises(DataError, match=r"image 3 is damaged$"):
        prepared(KEY, SHAPE, Pictures(refused=(3, 70)))
    assert list(own_cache.iterdir()) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_the_rest_goes_on_where_the_plan_allows(workers: int) -> None:
    found = prepared(KEY, SHAPE, Pictures(refused=(3, 70)), Decoding(workers), unreadable_share=2 / COUNT)
    assert found.refused == {3: "image 3 is damaged", 70: "image 70 is damaged"}
    assert not found.pixels[[3, 70]].any()
    assert (found.pixels[71] == 71).all()
    with pytest.raises(DataError, match="image 3 is damaged"):  # the cache is there, but this plan allows none
        prepared(KEY, SHAPE, Pictures())


def test_too_many_are_too_many() -> None:
    with pytest.raises(DataError, match="allows 2 such images"):
        prepared(KEY, SHAPE, Pictures(refused=(3, 70, 71)), unreadable_share=2.5 / COUNT)


def test_a_decoder_that_takes_its_process_down_is_refused_by_number() -> None:
    shape = (3, 8, 8, 1)
    found = prepared(KEY, shape, Pictures(deadly=1), Decoding(workers=1), unreadable_share=0.4)
    assert list(found.refused) == [1]
    assert found.refused[1] == "image 1 took its decoder down: replace or remove it"
    assert found.pixels[:, 0, 0, 0].tolist() == [0, 0, 2]
