"""Fills a cache with decoded images: once, in several processes, going on after a crash where it stopped."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wardround.data.cache import BLOCK, CacheFile, checksum
from wardround.data.decode import with_progress
from wardround.errors import DataError


class Decoder(Protocol):
    """Decodes images by their number; sent to worker processes, so it pickles."""

    def __call__(self, row: int) -> np.ndarray:
        """Return uint8 ``(H, W, C)``.

        Raises:
            DataError: the image cannot be used.
        """
        ...


@dataclass(frozen=True)
class Decoding:
    """How a source's images are decoded, where no cache holds them yet; no part of a plan.

    Attributes:
        workers: processes; 0 decodes in this one.
        thorough: compare the checksums of a cache that is there.
        told: is called with each cache that is whole.
    """

    workers: int = 0
    thorough: bool = False
    told: Callable[[Prepared], None] | None = None


@dataclass(frozen=True)
class Prepared:
    """A cache that is whole.

    Attributes:
        pixels: uint8 ``(M, H, W, C)``, memory-mapped, read-only.
        refused: row -> why its image could not be used; its pixels are zero.
        made: images decoded now; the others were there.
        path: of the cache file.
    """

    pixels: np.ndarray
    refused: Mapping[int, str]
    made: int
    path: Path


@dataclass
class _Done:
    """Blocks that are filled: their checksums and what was refused in them."""

    checksums: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


def prepared(
    key: Mapping[str, Any],
    shape: tuple[int, int, int, int],
    decoder: Decoder,
    how: Decoding | None = None,
    unreadable_share: float = 0.0,
) -> Prepared:
    """Return the pixels that belong to `key`, decoded the first time.

    Blocks of images are written into a file beside the final one and noted in a journal with their checksums; a process
    that is killed loses the blocks it was working on. The file takes its final name when every image was decoded or
    refused. Of two processes at once, the second waits and finds the work done.

    Args:
        key: JSON values that the pixels depend on.
        shape: ``(M, H, W, C)``.
        decoder: of single images.
        how: processes and care.
        unreadable_share: largest share of images that may be refused; the rest goes on.

    Raises:
        DataError: too many images are refused: the first one's reason; or the cache folder cannot be written.
    """
    how = how or Decoding()
    cache = CacheFile.of(key, shape)
    made = 0
    if not cache.is_whole(how.thorough):
        with _writing(cache):
            if not cache.is_whole(how.thorough):
                made = _fill(cache, decoder, how.workers, int(unreadable_share * shape[0]))
    facts, pixels = cache.facts(), cache.mapped()
    if facts is None or pixels is None:
        raise DataError(f"the cache file {cache.path} was removed while it was read: start again")
    refused = {int(row): why for row, why in facts["refused"].items()}
    _check_refused(refused, int(unreadable_share * shape[0]))
    found = Prepared(pixels, refused, made, cache.path)
    if how.told:
        how.told(found)
    return found


def _fill(cache: CacheFile, decoder: Decoder, workers: int, spare: int) -> int:
    done = _resumed(cache)
    open_blocks = [block for block in range(cache.num_blocks) if block not in done.checksums]
    made = sum(min(BLOCK, cache.shape[0] - block * BLOCK) for block in open_blocks)
    blocks = _in_workers(cache, decoder, open_blocks, workers) if workers else _here(cache, decoder, open_blocks)
    try:
        with cache.journal.open("a", encoding="utf-8") as journal:
            for block, digest, refused in with_progress(blocks, len(open_blocks), "decoding images"):
                done.checksums[block] = digest
                done.refused |= refused
                _check_refused(done.refused, spare)
                journal.write(json.dumps([block, digest, refused]) + "\n")
                journal.flush()
    except DataError:  # a file has to change first, and then the cache has another name
        cache.part.unlink(missing_ok=True)
        cache.journal.unlink(missing_ok=True)
        raise
    finally:
        blocks.close()
    cache.finish([done.checksums[block] for block in range(cache.num_blocks)], dict(sorted(done.refused.items())))
    return made


def _resumed(cache: CacheFile) -> _Done:
    """Take over the blocks that an earlier process finished; those whose checksum differs are made again."""
    done = _Done()
    pixels = cache.mapped_part()
    if pixels is None:
        cache.journal.unlink(missing_ok=True)
        _make_room(cache)
        return done
    for line in cache.journal.read_text(encoding="utf-8").splitlines() if cache.journal.exists() else ():
        try:
            block, digest, refused = json.loads(line)
        except ValueError:  # the last line of a killed process
            continue
        if checksum(pixels, block) == digest:
            done.checksums[block] = digest
            done.refused |= {int(row): why for row, why in refused.items()}
    return done


def _make_room(cache: CacheFile) -> None:
    if 0 in cache.shape:
        with cache.part.open("wb") as file:
            np.save(file, np.empty(cache.shape, dtype=np.uint8))
        return
    np.lib.format.open_memmap(cache.part, mode="w+", dtype=np.uint8, shape=cache.shape).flush()


Block = tuple[int, str, dict[int, str]]


def _here(cache: CacheFile, decoder: Decoder, blocks: list[int]) -> Generator[Block, None, None]:
    for block in blocks:
        yield _fill_block(cache, decoder, block)


def _in_workers(cache: CacheFile, decoder: Decoder, blocks: list[int], workers: int) -> Generator[Block, None, None]:
    finished = 0
    pool = _pool(cache, decoder, workers)
    try:
        for found in pool.map(_work, blocks):
            finished += 1
            yield found
    except BrokenProcessPool:  # a decoder took its process down: find out on which image
        for block in blocks[finished:]:
            yield _one_by_one(cache, decoder, block)
    finally:
        pool.shutdown(cancel_futures=True)


def _one_by_one(cache: CacheFile, decoder: Decoder, block: int) -> Block:
    pixels = cache.mapped_part()
    assert pixels is not None  # noqa: S101  # _make_room wrote it
    refused: dict[int, str] = {}
    for row in _rows(cache, block):
        with _pool(cache, decoder, 1) as pool:
            try:
                image, why = pool.submit(_decode, row).result()
            except BrokenProcessPool:
                image, why = None, f"image {row} took its decoder down: replace or remove it"
        pixels[row] = 0 if image is None else image
        if why:
            refused[row] = why
    return block, checksum(pixels, block), refused


def _pool(cache: CacheFile, decoder: Decoder, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, get_context("spawn"), _begin, (cache, decoder))


_JOB: list[tuple[CacheFile, Decoder]] = []


def _begin(cache: CacheFile, decoder: Decoder) -> None:
    _JOB[:] = [(cache, decoder)]


def _work(block: int) -> Block:
    return _fill_block(*_JOB[0], block)


def _decode(row: int) -> tuple[np.ndarray | None, str]:
    try:
        return _JOB[0][1](row), ""
    except DataError as error:
        return None, str(error)


def _fill_block(cache: CacheFile, decoder: Decoder, block: int) -> Block:
    pixels = cache.mapped_part()
    if pixels is None:
        raise DataError(f"the cache file {cache.part} was removed while it was written: start again")
    refused: dict[int, str] = {}
    for row in _rows(cache, block):
        try:
            pixels[row] = decoder(row)
        except DataError as error:
            pixels[row] = 0
            refused[row] = str(error)
    return block, checksum(pixels, block), refused


def _rows(cache: CacheFile, block: int) -> range:
    return range(block * BLOCK, min((block + 1) * BLOCK, cache.shape[0]))


def _check_refused(refused: Mapping[int, str], spare: int) -> None:
    if len(refused) > spare:
        allowed = f" (the plan allows {spare} such images, there are more)" if spare else ""
        raise DataError(f"{refused[min(refused)]}{allowed}")


@contextmanager
def _writing(cache: CacheFile) -> Iterator[None]:
    """Hold the right to write `cache`: a lock on its unfinished file."""
    try:
        cache.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with cache.part.open("ab") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                # Who held it before may have finished or given up, and so taken this file away.
                if cache.part.exists() and os.path.samestat(os.fstat(held.fileno()), cache.part.stat()):
                    yield
                    cache.part.unlink(missing_ok=True)
                    return
    except OSError as error:
        raise DataError(
            f"the cache folder {cache.path.parent} cannot be written ({error.strerror}): free some space or set "
            "WARDROUND_CACHE to one that can"
        ) from None
