"""The number of entries that a log has acknowledged, in a small file beside it."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

_MAGIC = b"WRLA\x01"
_NUMBER = struct.Struct(">Q")
_CHECK_BYTES = 8
_BYTES = len(_MAGIC) + _NUMBER.size + _CHECK_BYTES


def encode_acknowledged(count: int) -> bytes:
    """Write a number of entries; always of the same length, so that it can be overwritten in place."""
    content = _MAGIC + _NUMBER.pack(count)
    return content + hashlib.sha256(content).digest()[:_CHECK_BYTES]


def read_acknowledged(path: Path) -> int | None:
    """Read what `encode_acknowledged` wrote to a file; ``None`` if it is missing or illegible."""
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES + 1)
    except OSError:
        return None
    count = int.from_bytes(content[len(_MAGIC) :][: _NUMBER.size], "big")
    return count if content == encode_acknowledged(count) else None
