"""Where bytes from outside meet other people's parsers: whatever they raise becomes one sentence."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wardround.errors import DataError, WardroundError

MAX_BYTES = 2**32
"""Largest file that is opened."""


@contextmanager
def refusing(name: str, format_name: str) -> Iterator[None]:
    """Turn whatever a parser raises into a `DataError`.

    Parsers of this size raise nearly every type of error on damaged bytes, and their messages and warnings quote header
    values; so only the error's type is told, and their logs are kept quiet.

    Args:
        name: how errors call the file.
        format_name: what it was read as.

    Raises:
        DataError: the file cannot be read, or needs more memory than there is.
    """
    quiet = [logging.getLogger(logger) for logger in ("pydicom", "nibabel.global", "openjpeg", "PIL")]
    levels = [logger.level for logger in quiet]
    for logger in quiet:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except WardroundError:
        raise
    except MemoryError:
        raise DataError(f"{name} needs more memory than there is: cut it into smaller files") from None
    except Exception as error:
        raise DataError(
            f"{name} is damaged or no complete {format_name} file ({type(error).__name__}): replace or remove it"
        ) from None
    finally:
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)


def head_of(path: Path, size: int = 4096) -> bytes:
    """Return the first `size` bytes of a file.

    Raises:
        DataError: it cannot be opened, is empty or larger than `MAX_BYTES`.
    """
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(size)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check it") from None
    if not length:
        raise DataError(f"{path} is empty: replace or remove it")
    if length > MAX_BYTES:
        raise DataError(f"{path} is larger than {MAX_BYTES} bytes: cut it into smaller files")
    return head
