"""Bytes put together without ambiguity, and bytes from outside taken apart within bounds."""

from __future__ import annotations

import reprlib
import struct

from wardround.core.names import MAX_NAME_BYTES, is_site_name
from wardround.errors import WireError

DOMAIN = b"wardround/1/"

_LENGTH = struct.Struct(">I")


def joined(purpose: str, *parts: bytes) -> bytes:
    """Return `purpose` and `parts` as one message for a hash, a signature or a key derivation.

    Every part carries its length, so two different lists never give the same bytes, and two purposes never meet.
    """
    return b"".join((DOMAIN, purpose.encode(), b"\0", *map(counted, parts)))


def counted(part: bytes) -> bytes:
    """Return `part` behind its length."""
    return _LENGTH.pack(len(part)) + part


class Reader:
    """Takes bytes from outside apart; whatever is wrong with them is a `WireError` that names them.

    Attributes:
        what: the bytes in words, the subject of every refusal.
    """

    def __init__(self, what: str, data: bytes, max_bytes: int) -> None:
        self.what = what
        if not isinstance(data, bytes | bytearray | memoryview):
            raise WireError(f"{what} is {reprlib.repr(data)}, which is no bytes")
        if len(data) > max_bytes:
            raise WireError(f"{what} has {len(data)} bytes, more than the limit of {max_bytes}")
        self._data = bytes(data)
        self._at = 0

    def start(self, magic: bytes) -> None:
        """Take the kind and version that the bytes must start with."""
        if self.take(len(magic)) != magic:
            raise WireError(f"{self.what} is of another kind or version than this installation reads")

    def take(self, count: int) -> bytes:
        """Take exactly `count` bytes."""
        end = self._at + count
        if end > len(self._data):
            raise WireError(f"{self.what} is cut short")
        part, self._at = self._data[self._at : end], end
        return part

    def take_counted(self, max_bytes: int) -> bytes:
        """Take what `counted` wrote, at most `max_bytes` of it."""
        (count,) = _LENGTH.unpack(self.take(_LENGTH.size))
        if count > max_bytes:
            raise WireError(f"{self.what} holds a part of {count} bytes, more than the limit of {max_bytes}")
        return self.take(count)

    def take_name(self) -> str:
        """Take a site's name."""
        try:
            name = self.take_counted(MAX_NAME_BYTES).decode()
        except UnicodeDecodeError:
            name = ""
        if not is_site_name(name):
            raise WireError(f"{self.what} holds a site name that is empty or not printable")
        return name

    def end(self) -> None:
        """Refuse bytes after the last part."""
        if self._at != len(self._data):
            raise WireError(f"{self.what} is {len(self._data) - self._at} bytes too long")
