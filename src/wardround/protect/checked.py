"""Private records of a site's own store: of one kind, versioned, and never half right.

A flipped bit in such a record must not turn "shares released" into "not released"; the digest sees to that. It stops
accidents, not an intruder: who can write a site's private store is that site.
"""

from __future__ import annotations

import hashlib
import hmac

from wardround.errors import WireError
from wardround.protect.octets import Reader

DIGEST_BYTES = 32


def checked(magic: bytes, body: bytes) -> bytes:
    """Return `body` behind its kind and version, and a digest over all of it."""
    record = magic + body
    return record + hashlib.sha256(record).digest()


def read_checked(what: str, magic: bytes, data: bytes, max_bytes: int) -> Reader:
    """Open what `checked` wrote.

    Args:
        what: the record in words, the subject of every refusal.
        magic: the kind and version it must have.
        data: the bytes as they were found.
        max_bytes: longest record that is looked at.

    Raises:
        WireError: too long, cut short, damaged, or of another kind.
    """
    whole = Reader(what, data, max_bytes)
    record = whole.take(max(0, len(data) - DIGEST_BYTES))
    if not hmac.compare_digest(hashlib.sha256(record).digest(), whole.take(DIGEST_BYTES)):
        raise WireError(f"{what} is damaged: its digest does not match")
    reader = Reader(what, record, max_bytes)
    reader.start(magic)
    return reader
