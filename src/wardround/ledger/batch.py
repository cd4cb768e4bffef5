"""How the log lies on disk: entries in batches that are there whole or not at all.

```text
head     number of entries: u32 | bytes of slots and entries: u64 | check: 8 bytes
slots    for each entry: its length: u32 | first 8 bytes of its leaf hash
entries  one after the other
```

Numbers are big-endian. The head's check binds it to the index of the batch's first entry, a slot binds its entry's
bytes, so that a batch that was cut, changed or moved names its first entry that no longer is what it was. Both are
there against accidents: whoever writes to the disk can make them anew, and is caught by the signed roots.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from wardround.errors import LedgerError
from wardround.ledger.merkle import leaf_hash

MAX_ENTRY_BYTES = 2**20
MAX_BATCH_ENTRIES = 2**16
MAX_BATCH_BYTES = 2**28

_NUMBERS = struct.Struct(">IQ")
_SLOT = struct.Struct(">I8s")
_CHECK_BYTES = 8
_CHECKED = struct.Struct(">Q")

HEAD_BYTES = _NUMBERS.size + _CHECK_BYTES


@dataclass(frozen=True)
class Head:
    """What a batch says about itself before it begins.

    Attributes:
        count: number of entries, 1 to `MAX_BATCH_ENTRIES`.
        body_bytes: length of all that follows, at most `MAX_BATCH_BYTES`.
    """

    count: int
    body_bytes: int

    @property
    def fits(self) -> bool:
        """Whether a batch may be so large."""
        return 0 < self.count <= MAX_BATCH_ENTRIES and self.body_bytes <= MAX_BATCH_BYTES


def encode_batch(first: int, entries: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """Write entries as the batch that begins at index `first` of the log.

    Returns:
        The batch, and the leaf hash of each entry.

    Raises:
        LedgerError: there is none, one is no bytes, or one or the batch exceeds its limit.
    """
    for index, entry in enumerate(entries, first):
        if not isinstance(entry, bytes) or len(entry) > MAX_ENTRY_BYTES:
            raise LedgerError(f"entry {index} is no bytes, or more than the limit of {MAX_ENTRY_BYTES} of them")
    head = Head(len(entries), len(entries) * _SLOT.size + sum(map(len, entries)))
    if not head.fits:
        raise LedgerError(
            f"{head.count} entries of {head.body_bytes} bytes are none or too many for one batch of at most "
            f"{MAX_BATCH_ENTRIES} entries and {MAX_BATCH_BYTES} bytes: append them in several"
        )
    numbers = _NUMBERS.pack(head.count, head.body_bytes)
    leaves = [leaf_hash(entry) for entry in entries]
    slots = [_SLOT.pack(len(entry), leaf[:_CHECK_BYTES]) for entry, leaf in zip(entries, leaves, strict=True)]
    return b"".join((numbers, _check(first, numbers), *slots, *entries)), leaves


def read_head(first: int, data: bytes) -> Head | None:
    """Read the head of the batch that begins at index `first`; ``None`` if it is cut or is no such head."""
    numbers, check = data[: _NUMBERS.size], data[_NUMBERS.size :]
    if check != _check(first, numbers):
        return None
    head = Head(*_NUMBERS.unpack(numbers))
    return head if head.fits else None


def read_body(first: int, head: Head, body: bytes) -> tuple[list[int], list[bytes]]:
    """Read what follows a head.

    Args:
        first: index of the first entry.
        head: of the batch.
        body: what lies behind it, at most as long as it says.

    Returns:
        The length of each entry, the last of which ends where the body does, and its leaf hash.

    Raises:
        LedgerError: it is cut short or does not match its slots; the sentence names the first such entry.
    """
    begin = head.count * _SLOT.size
    slots = _SLOT.iter_unpack(body[: min(begin, len(body) // _SLOT.size * _SLOT.size)])
    lengths: list[int] = []
    leaves: list[bytes] = []
    for length, check in slots:
        entry = body[begin : begin + length]
        leaf = leaf_hash(entry)
        if len(entry) != length or length > MAX_ENTRY_BYTES or leaf[:_CHECK_BYTES] != check:
            break
        lengths.append(length)
        leaves.append(leaf)
        begin += length
    if len(leaves) < head.count:
        raise LedgerError(
            f"entry {first + len(leaves)} is damaged: it is cut short or was changed after it was written"
        )
    if begin != head.body_bytes:
        raise LedgerError(f"entry {first + head.count - 1} is damaged: bytes follow it that are no entry")
    return lengths, leaves


def _check(first: int, numbers: bytes) -> bytes:
    return hashlib.sha256(b"wardround/1/ledger batch\0" + _CHECKED.pack(first) + numbers).digest()[:_CHECK_BYTES]
