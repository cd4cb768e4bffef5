"""Fills a cache with decoded images: once, in several processes, going on after a crash where it stopped."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wardround.data.cache import BLOCK, CacheFile, checksum
from wardround.data.decode import with_progress
from wardround.data.isolated import Isolated
from wardround.errors import DataError

WHAT = "decoding images"


class Decoder(Protocol):
    """Decodes images by their number; sent to worker processes, so it pickles."""

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        """Return uint8 ``(H, W, C)``, and what the site should know of the image, ``""`` if nothing.

        Raises:
            DataError: the image cannot be used.
        """
        ...

    def name(self, row: int) -> str:
        """Return how errors call the image."""
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
        notes: what the site should know -> of how many images.
        made: images decoded now; the others were there.
        path: of the cache file.
    """

    pixels: np.ndarray
    refused: Mapping[int, str]
    notes: Mapping[str, int]
    made: int
    path: Path


@dataclass
class _Done:
    """Blocks that are filled: their checksums, what was refused in them and what is to be known of them."""

    checksums: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)


def prepared(
    key: Mapping[str, Any],
    shape: tuple[int, int, int, int],
    decoder: Decoder,
    how: Decoding | None = None,
    unreadable_share: float = 0.0,
    may_end_its_process: Callable[[], bool] | None = None,
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
        may_end_its_process: whether images need a process of their own also where `how` does not say.

    Raises:
        DataError: too many images are refused: the first one's reason; or the cache folder cannot be written.
    """
    cache = CacheFile.of(key, shape)
    thorough = how is not None and how.thorough
    made = 0
    if not cache.is_whole(thorough):
        workers = how.workers if how else int(may_end_its_process is not None and may_end_its_process())
        with _writing(cache):
            if not cache.is_whole(thorough):
                made = _fill(cache, decoder, workers, int(unreadable_share * shape[0]))
    facts, pixels = cache.facts(), cache.held()
    if facts is None or pixels is None:
        raise DataError(f"the cache file {cache.path} was removed while it was read: start again")
    refused = {int(row): why for row, why in facts["refused"].items()}
    _check_refused(refused, int(unreadable_share * shape[0]))
    found = Prepared(pixels, refused, facts["notes"], made, cache.path)
    if how and how.told:
        how.told(found)
    return found


def _fill(cache: CacheFile, decoder: Decoder, workers: int, spare: int) -> int:
    done = _resumed(cache)
    open_blocks = [block for block in range(cache.num_blocks) if block not in done.checksums]
    made = sum(min(BLOCK, cache.shape[0] - block * BLOCK) for block in open_blocks)
    job = Isolated(_decode_rows, lambda row: _lost(decoder, row), _begin, (cache, decoder))
    found = job.over([_rows(cache, block) for block in open_blocks], workers)
    pixels = cache.mapped_part()
    assert pixels is not None  # noqa: S101  # _make_room wrote it
    try:
        with cache.journal.open("a", encoding="utf-8") as journal:
            for block, said in zip(open_blocks, with_progress(found, len(open_blocks), WHAT), strict=True):
                refused = {row: why for row, (why, _) in zip(_rows(cache, block), said, strict=True) if why}
                notes = Counter(note for _, note in said if note)
                done.checksums[block] = checksum(pixels, block)
                done.refused |= refused
                done.notes += notes
                _check_refused(done.refused, spare)
                journal.write(json.dumps([block, done.checksums[block], refused, notes]) + "\n")
                journal.flush()
    except DataError:  # a file has to change first, and then the cache has another name
        cache.part.unlink(missing_ok=True)
        cache.journal.unlink(missing_ok=True)
        raise
    finally:
        found.close()
        _JOB.clear()
    checksums = [done.checksums[block] for block in range(cache.num_blocks)]
    cache.finish(checksums, dict(sorted(done.refused.items())), done.notes)
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
            block, digest, refused, notes = json.loads(line)
            rows = {int(row): str(why) for row, why in refused.items()}
            counts = Counter({str(note): int(count) for note, count in notes.items()})
        except (ValueError, TypeError, AttributeError):  # the last line of a killed process
            continue
        if block in range(cache.num_blocks) and checksum(pixels, block) == digest:
            done.checksums[block] = digest
            done.refused |= rows
            done.notes += counts
    return done


def _make_room(cache: CacheFile) -> None:
    if 0 in cache.shape:
        with cache.part.open("wb") as file:
            np.save(file, np.empty(cache.shape, dtype=np.uint8))
        return
    np.lib.format.open_memmap(cache.part, mode="w+", dtype=np.uint8, shape=cache.shape).flush()
    if hasattr(os, "posix_fallocate"):  # a disk that is full must say so now: later, a mapped page kills the process
        with cache.part.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, cache.part.stat().st_size)


_JOB: list[tuple[np.ndarray | None, Decoder]] = []


def _begin(cache: CacheFile, decoder: Decoder) -> None:
    _JOB[:] = [(cache.mapped_part(), decoder)]


def _decode_rows(rows: Sequence[int]) -> list[tuple[str, str]]:
    """Write the images of `rows` into the unfinished cache; return why each was refused, and its note, or ``""``."""
    pixels, decoder = _JOB[0]
    assert pixels is not None  # noqa: S101  # _make_room wrote it
    said = []
    for row in rows:
        try:
            pixels[row], note = decoder(row)
            said.append(("", note))
        except DataError as error:
            pixels[row] = 0
            said.append((str(error), ""))
    return said


def _lost(decoder: Decoder, row: int) -> tuple[str, str]:
    return f"{decoder.name(row)} took its decoder down: replace or remove it", ""


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
