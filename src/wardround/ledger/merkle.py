"""Merkle trees over an append-only list: hashing of RFC 6962, proofs and their verification of RFC 9162.

Both verifiers are stateless and need nothing but what they are given, so that whoever holds a root can check a proof
with these few lines, or with any other implementation of Certificate Transparency's trees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from wardround.errors import LedgerError

HASH_BYTES = 32
LEAF, NODE = b"\0", b"\1"
"""What keeps an entry and a node of the tree apart: no entry hashes to what a node does."""

EMPTY_ROOT = hashlib.sha256().digest()
MAX_SIZE = 2**63 - 1
"""Largest number of entries that a proof may speak of."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf (RFC 6962, section 2.1): SHA-256 of 0x00 and the entry."""
    return hashlib.sha256(LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over two subtrees (RFC 6962, section 2.1): SHA-256 of 0x01 and both hashes."""
    return hashlib.sha256(NODE + left + right).digest()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over `leaves`, which are leaf hashes; over none of them the SHA-256 of nothing.

    It holds one hash per level, so that a list of any length can pass through.
    """
    complete: list[tuple[int, bytes]] = []  # level and hash of whole subtrees, from the left
    for leaf in leaves:
        level, found = 0, leaf
        while complete and complete[-1][0] == level:
            level, found = level + 1, node_hash(complete.pop()[1], found)
        complete.append((level, found))
    if not complete:
        return EMPTY_ROOT
    _, root = complete.pop()
    while complete:
        root = node_hash(complete.pop()[1], root)
    return root


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that `leaf` is the leaf number `index` of the log of `size` entries with this `root`.

    The algorithm of RFC 9162, section 2.1.3.2. A proof can hold under several sizes, so that `size` and `root` have to
    come from one signed checkpoint.

    Args:
        index: of the entry, from 0.
        size: number of entries under the root.
        leaf: `leaf_hash` of the entry.
        proof: what `Tree.inclusion` gave.
        root: of the log.

    Raises:
        LedgerError: it is not, or the arguments are no proof at all.
    """
    _require_sizes(index, size)
    if index >= size:
        raise LedgerError(f"a log of {size} entries has no entry {index}")
    _require_hashes("inclusion", leaf, root, *proof)
    place, last, found = index, size - 1, leaf
    for beside in proof:
        if last == 0:
            raise LedgerError(f"the proof that entry {index} is in a log of {size} entries is too long")
        if place & 1 or place == last:
            found = node_hash(beside, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, beside)
        place, last = place >> 1, last >> 1
    if last:
        raise LedgerError(f"the proof that entry {index} is in a log of {size} entries is cut short")
    if found != root:
        raise LedgerError(
            f"entry {index} is not in the log of {size} entries with root {root.hex()}: "
            "the entry, its proof or the root was changed"
        )


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the log with `new_root` begins with all of the log with `old_root`.

    The algorithm of RFC 9162, section 2.1.4.2. An empty log says nothing about a later one, so that an `old_size` of 0
    is refused here as it is there: whoever has not seen the log before has nothing to compare.

    Args:
        old_size: number of entries under the old root, at least 1.
        new_size: number of entries under the new root; at `old_size` the proof is empty and the roots are equal.
        old_root: of the log as it was.
        new_root: of the log as it is.
        proof: what `Tree.consistency` gave.

    Raises:
        LedgerError: it does not, or the arguments are no proof at all.
    """
    _require_sizes(old_size, new_size)
    if not 0 < old_size <= new_size:
        raise LedgerError(f"a log of {new_size} entries cannot be shown to go on from one of {old_size}")
    _require_hashes("consistency", old_root, new_root, *proof)
    if old_size == new_size:
        if proof:
            raise LedgerError(f"the proof between two logs of {old_size} entries is too long: it should be empty")
        if old_root != new_root:
            raise LedgerError(f"there are two different logs of {old_size} entries: one of them was forked or changed")
        return
    old, new = _chained(old_size, new_size, old_root, proof)
    if new != new_root:
        raise LedgerError(
            f"nothing shows that the log of {new_size} entries goes on from the one of {old_size}: "
            "its history, the proof or a root was changed"
        )
    if old != old_root:
        raise LedgerError(
            f"the log of {new_size} entries does not begin with the {old_size} entries of root {old_root.hex()}: "
            "its history was changed"
        )


def _chained(old_size: int, new_size: int, old_root: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the two roots that a consistency proof leads to."""
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0] if path else b""
    for beside in path[1:]:
        if last == 0:
            raise LedgerError(f"the proof between logs of {old_size} and {new_size} entries is too long")
        if place & 1 or place == last:
            old, new = node_hash(beside, old), node_hash(beside, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, beside)
        place, last = place >> 1, last >> 1
    if last:
        raise LedgerError(f"the proof between logs of {old_size} and {new_size} entries is cut short")
    return old, new


def _require_sizes(*sizes: int) -> None:
    for size in sizes:
        if type(size) is not int or not 0 <= size <= MAX_SIZE:
            raise LedgerError("a proof speaks of a position or a size that is no whole number below 2^63")


def _require_hashes(kind: str, *hashes: bytes) -> None:
    if not all(isinstance(one, bytes) and len(one) == HASH_BYTES for one in hashes):
        raise LedgerError(f"a proof of {kind} holds something that is no hash of {HASH_BYTES} bytes")
