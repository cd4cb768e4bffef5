"""Decoded pixels, kept outside the repository so that images are decoded once and memory-mapped ever after."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from weakref import WeakValueDictionary

import numpy as np

from wardround.core.codec import canonical_json
from wardround.core.files import write_atomically
from wardround.errors import DataError

FORMAT_VERSION = 2
_HELD: WeakValueDictionary[tuple[Path, int, int], np.ndarray] = WeakValueDictionary()
BLOCK = 64
"""Images of one checksum: what is made anew after a crash is less than two blocks for each process."""


def cache_folder() -> Path:
    """Return ``$WARDROUND_CACHE``, else ``$XDG_CACHE_HOME/wardround``, else ``~/.cache/wardround``."""
    if chosen := os.environ.get("WARDROUND_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "wardround"


def fingerprint(files: Iterable[Path]) -> str:
    """Digest the paths, sizes and modification times of `files`: what tells a changed source from the same one.

    Returns:
        64 hex digits.

    Raises:
        DataError: a file cannot be looked at.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            seen = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): check that it is there") from None
        digest.update(f"{path.absolute()}\x1f{seen.st_size}\x1f{seen.st_mtime_ns}\x1e".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class CacheFile:
    """One file of pixels, ``<name>.npy``, with its checksums in ``<name>.json`` beside it.

    Attributes:
        path: of the pixels.
        shape: ``(M, H, W, C)``.
    """

    path: Path
    shape: tuple[int, int, int, int]

    @classmethod
    def of(cls, key: Mapping[str, Any], shape: tuple[int, int, int, int]) -> CacheFile:
        """Return the file that belongs to `key`: JSON values that the pixels depend on, whose digest names it."""
        name = hashlib.sha256(canonical_json({**key, "format": FORMAT_VERSION, "shape": list(shape)})).hexdigest()
        return cls(cache_folder() / f"{name}.npy", shape)

    @property
    def facts_path(self) -> Path:
        """Where checksums and refusals stand."""
        return self.path.with_suffix(".json")

    @property
    def part(self) -> Path:
        """Where the pixels lie until all are there."""
        return self.path.with_suffix(".part")

    @property
    def journal(self) -> Path:
        """Which blocks of `part` are done, one JSON line each."""
        return self.path.with_suffix(".journal")

    @property
    def num_blocks(self) -> int:
        """How many blocks the images make."""
        return -(-self.shape[0] // BLOCK)

    def facts(self) -> dict[str, Any] | None:
        """Return what was written with `finish`; ``None`` if it is not there or not whole."""
        try:
            found = json.loads(self.facts_path.read_bytes())
        except (OSError, ValueError):  # absent or cut short: the pixels are made again
            return None
        return found if isinstance(found, dict) and {"blocks", "refused", "notes", "stamp"} <= set(found) else None

    def is_whole(self, thorough: bool = False) -> bool:
        """Whether the pixels are those that were written.

        Args:
            thorough: compare every checksum, also when size and modification time are as they were.
        """
        facts = self.facts()
        if facts is None or self.mapped() is None:
            return False
        return bool((not thorough and facts["stamp"] == list(self._stamp())) or facts["blocks"] == self._checksums())

    def mapped(self) -> np.ndarray | None:
        """Return the pixels, memory-mapped read-only; ``None`` if the file is absent, cut short or of another shape."""
        return self._mapped(self.path, "r")

    def held(self) -> np.ndarray | None:
        """Return `mapped`, and the same array again while somebody holds it and the file is what it was.

        So what a process computes of its images, it computes once.
        """
        pixels = self.mapped()
        return None if pixels is None else _HELD.setdefault((self.path, *self._stamp()), pixels)

    def mapped_part(self) -> np.ndarray | None:
        """Return `part`, memory-mapped for writing; ``None`` if it is absent, cut short or of another shape."""
        return self._mapped(self.part, "r+")

    def _mapped(self, path: Path, mode: Literal["r", "r+"]) -> np.ndarray | None:
        try:
            found: np.ndarray = np.load(path, mmap_mode=mode if self.shape[0] else None, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.shape == self.shape and found.dtype == np.uint8 else None

    def finish(self, checksums: list[str], refused: Mapping[int, str], notes: Mapping[str, int]) -> None:
        """Put the pixels in their place, in one step, and beside them their checksums and what was said of images."""
        self.part.replace(self.path)
        said = {"refused": {str(row): why for row, why in refused.items()}, "notes": dict(notes)}
        facts = {"blocks": checksums, **said}
        write_atomically(self.facts_path, canonical_json({**facts, "stamp": list(self._stamp())}))
        self.journal.unlink(missing_ok=True)

    def _stamp(self) -> tuple[int, int]:
        seen = self.path.stat()
        return seen.st_size, seen.st_mtime_ns

    def _checksums(self) -> list[str]:
        pixels = self.mapped()
        return [] if pixels is None else [checksum(pixels, block) for block in range(self.num_blocks)]


def checksum(pixels: np.ndarray, block: int) -> str:
    """Return the SHA-256 of one block of pixels."""
    return hashlib.sha256(pixels[block * BLOCK : (block + 1) * BLOCK].tobytes()).hexdigest()
