"""What one FLARE call carries: a small JSON head and a payload, both bounded. Shared by coordinator and sites.

FLARE moves one ``bytes`` argument and one ``bytes`` result per call, and needs about ten times a payload's size in
memory. Frames up to `WHOLE_BYTES` therefore travel in one call, longer ones in chunks of `CHUNK_BYTES`.

```text
call         {op, number, wait_s}          frame     -> {size_bytes} frame, or {size_bytes} alone when it must be pulled
push         {number, size_bytes, offset}  chunk     -> {}
call_pushed  {op, number, wait_s}                    -> as call
pull         {number, offset}                        -> {} chunk
```

Every answer may instead be ``{failure}``: one sentence. A site's traceback never leaves the site.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from wardround.core.codec import MAX_FRAME_BYTES
from wardround.errors import WireError
from wardround.fabric.base import bounded

WHOLE_BYTES = 4 * 2**20
CHUNK_BYTES = 8 * 2**20
CHUNKS_IN_FLIGHT = 3
MAX_HEAD_BYTES = 2**16
MAX_OP_CHARS = 64
LONGEST_CALL_S = 24 * 3600.0

_PREFIX = struct.Struct(">I")

Head = Mapping[str, Any]


def pack(head: Head, payload: bytes | memoryview = b"") -> bytes:
    """Write one call or one answer."""
    text = json.dumps(dict(head), separators=(",", ":")).encode()
    return b"".join((_PREFIX.pack(len(text)), text, payload))


def unpack(data: object) -> tuple[Head, memoryview]:
    """Read one call or one answer.

    Raises:
        WireError: `data` is not bytes (FLARE does not check), or its head is not a short JSON object.
    """
    if not isinstance(data, bytes | bytearray | memoryview) or len(data) < _PREFIX.size:
        raise WireError("a FLARE call carries no head")
    view = memoryview(data)
    (head_bytes,) = _PREFIX.unpack_from(view)
    end = _PREFIX.size + head_bytes
    if head_bytes > MAX_HEAD_BYTES or end > len(view):
        raise WireError("a FLARE call's head is longer than the call or the limit")
    try:
        head = json.loads(bytes(view[_PREFIX.size : end]))
    except (ValueError, RecursionError):
        raise WireError("a FLARE call's head is not JSON") from None
    if not isinstance(head, dict):
        raise WireError("a FLARE call's head is not a JSON object")
    return head, view[end:]


def sentence(text: str) -> str:
    """Cut another party's words to one bounded line that cannot steer a terminal."""
    return bounded(text.strip().partition("\n")[0])


def whole_number(head: Head, name: str, largest: int = 2**62) -> int:
    """Read a count from a head.

    Raises:
        WireError: it is missing, not a whole number, negative or above `largest`.
    """
    value = head.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise WireError(f"a FLARE call's {name!r} is not a whole number from 0 to {largest}")
    return value


def op_name(head: Head) -> str:
    """Read the operation from a head.

    Raises:
        WireError: it is missing or too long.
    """
    value = head.get("op")
    if not isinstance(value, str) or not 0 < len(value) <= MAX_OP_CHARS:
        raise WireError(f"a FLARE call's 'op' is not a name of 1 to {MAX_OP_CHARS} characters")
    return value


def seconds(head: Head, name: str) -> float:
    """Read a duration from a head.

    Raises:
        WireError: it is missing or not between 0 and a day.
    """
    value = head.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_CALL_S:
        raise WireError(f"a FLARE call's {name!r} is not a duration of 0 to {LONGEST_CALL_S:.0f} s")
    return float(value)


def offsets(size_bytes: int) -> Iterator[int]:
    """Where the chunks of a frame of `size_bytes` start."""
    return iter(range(0, size_bytes, CHUNK_BYTES))


class Assembly:
    """A frame that arrives in chunks, in any order."""

    def __init__(self, number: int, size_bytes: int) -> None:
        """Wait for frame `number` of `size_bytes`.

        Raises:
            WireError: the size is beyond what a frame may have.
        """
        if not 0 < size_bytes <= MAX_FRAME_BYTES:
            raise WireError(f"a frame of {size_bytes} bytes exceeds the limit of {MAX_FRAME_BYTES}")
        self.number = number
        self.size_bytes = size_bytes
        self._data = bytearray(size_bytes)
        self._missing = set(offsets(size_bytes))

    def put(self, offset: int, chunk: bytes | memoryview) -> None:
        """Take one chunk.

        Raises:
            WireError: it does not lie where a chunk must, has another length, or came before.
        """
        if offset not in self._missing:
            raise WireError(f"chunk {offset} of a frame of {self.size_bytes} bytes is misplaced or came twice")
        if len(chunk) != min(CHUNK_BYTES, self.size_bytes - offset):
            raise WireError(f"chunk {offset} of a frame of {self.size_bytes} bytes has {len(chunk)} bytes")
        self._data[offset : offset + len(chunk)] = chunk
        self._missing.discard(offset)

    def take(self) -> bytearray:
        """Return the frame.

        Raises:
            WireError: chunks are missing.
        """
        if self._missing:
            raise WireError(f"{len(self._missing)} chunks of a frame of {self.size_bytes} bytes never came")
        return self._data
