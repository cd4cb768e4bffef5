"""Decoded pixels, kept outside the repository so that images are decoded once and memory-mapped ever after."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np

from wardround.core.codec import canonical_json
from wardround.errors import DataError

FORMAT_VERSION = 1
_MAPPED: WeakValueDictionary[Path, np.ndarray] = WeakValueDictionary()
"""One array for each file while somebody holds it, so that what is computed of its images is computed once."""


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


def cached_pixels(
    key: Mapping[str, str | int], shape: tuple[int, int, int, int], fill: Callable[[np.ndarray], None]
) -> np.ndarray:
    """Return the pixels that belong to `key`, made by `fill` the first time and memory-mapped read-only.

    A process that still holds the pixels gets the same array again. The file is written beside its final place and
    moved there in one step, so that a killed process, or a second one at the same time, leaves no half-written cache. A
    file that does not have the expected shape is made again.

    Args:
        key: JSON values that the pixels depend on; their digest names the file.
        shape: ``(M, H, W, C)``.
        fill: writes all pixels into the uint8 array it is given.

    Returns:
        uint8 `shape`, read-only.

    Raises:
        DataError: the cache folder cannot be written; and whatever `fill` raises.
    """
    name = hashlib.sha256(canonical_json({**key, "format": FORMAT_VERSION, "shape": list(shape)})).hexdigest()
    path = cache_folder() / f"{name}.npy"
    if not _is_whole(path, shape):
        _MAPPED.pop(path, None)
        _write(path, shape, fill)
    held = _MAPPED.get(path)
    if held is None:
        held = _MAPPED[path] = np.load(path, mmap_mode="r", allow_pickle=False)
    return held


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):  # absent, cut short or not an array: in each case it is made again
        return False
    return bool(mapped.shape == shape and mapped.dtype == np.uint8)


def _write(path: Path, shape: tuple[int, int, int, int], fill: Callable[[np.ndarray], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.stem[:16], suffix=".part")
        os.close(handle)
    except OSError as error:
        raise DataError(
            f"the cache folder {path.parent} cannot be written ({error.strerror}): set WARDROUND_CACHE to one that can"
        ) from None
    try:
        _fill_file(part, shape, fill)
        Path(part).replace(path)
    except OSError as error:
        raise DataError(
            f"the cache file {path} cannot be written ({error.strerror}): free some space or set WARDROUND_CACHE"
        ) from None
    finally:
        Path(part).unlink(missing_ok=True)


def _fill_file(part: str, shape: tuple[int, int, int, int], fill: Callable[[np.ndarray], None]) -> None:
    if 0 in shape:
        with Path(part).open("wb") as file:
            np.save(file, np.empty(shape, dtype=np.uint8))
        return
    block = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
    fill(block)
    block.flush()
