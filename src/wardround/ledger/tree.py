"""The hashes of a growing log, from which its roots and proofs are made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from wardround.errors import LedgerError
from wardround.ledger.merkle import EMPTY_ROOT, HASH_BYTES, NODE, node_hash


class Tree:
    """The hashes of a growing list: its root and its proofs at any size that it has had.

    Level ``k`` holds the hashes of all complete subtrees of ``2 ** k`` leaves, packed in one array, so that an entry
    costs 64 bytes of memory and two hashes, and a root or a proof a few dozen hashes.
    """

    def __init__(self) -> None:
        self._levels = [bytearray()]

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, leaves: Iterable[bytes]) -> int:
        """Add leaf hashes at the end.

        Returns:
            The index of the first of them.

        Raises:
            ValueError: one of them has not 32 bytes; none was added.
        """
        leaves = list(leaves)
        if any(len(leaf) != HASH_BYTES for leaf in leaves):
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes")
        first = self.size
        self._levels[0] += b"".join(leaves)
        self._grow()
        return first

    def leaf(self, index: int) -> bytes:
        """Return leaf hash number `index`.

        Raises:
            LedgerError: there is none.
        """
        _require(0 <= index < self.size, f"a log of {self.size} entries has no entry {index}")
        return self._node(0, index)

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves, or over all.

        Raises:
            LedgerError: there are fewer.
        """
        size = self._known(size)
        return self._over(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that a leaf is under the root of `size` leaves: PATH of RFC 6962, section 2.1.1.

        Args:
            index: of the leaf, from 0.
            size: number of leaves under the root; all if not given.

        Raises:
            LedgerError: there is no such leaf, or there are fewer than `size`.
        """
        size = self._known(size)
        _require(0 <= index < size, f"a log of {size} entries has no entry {index}")
        begin, end, proof = 0, size, []
        while end - begin > 1:
            split = begin + _split(end - begin)
            if index < split:
                proof.append(self._over(split, end))
                end = split
            else:
                proof.append(self._over(begin, split))
                begin = split
        return tuple(reversed(proof))

    def consistency(self, old_size: int, new_size: int | None = None) -> tuple[bytes, ...]:
        """Return the proof that `new_size` leaves begin with the first `old_size`: PROOF of RFC 6962, section 2.1.2.

        Args:
            old_size: at least 1.
            new_size: at least `old_size`; all leaves if not given.

        Raises:
            LedgerError: the sizes are in no such order, or there are fewer leaves.
        """
        new_size = self._known(new_size)
        ordered = 0 < old_size <= new_size
        _require(ordered, f"a log of {new_size} entries cannot be shown to go on from one of {old_size}")
        begin, end, proof = 0, new_size, []
        while end != old_size:
            split = begin + _split(end - begin)
            if old_size <= split:
                proof.append(self._over(split, end))
                end = split
            else:
                proof.append(self._over(begin, split))
                begin = split
        if begin:  # else it is the old root, which the verifier has
            proof.append(self._over(begin, end))
        return tuple(reversed(proof))

    def _grow(self) -> None:
        """Hash the pairs that are complete and not hashed yet, level by level."""
        level, sha256, pair = 0, hashlib.sha256, 2 * HASH_BYTES
        while True:
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            below, above = self._levels[level], self._levels[level + 1]
            begin, end = 2 * len(above), len(below) // pair * pair
            if begin == end:
                return
            new = bytes(below[begin:end])
            above += b"".join([sha256(NODE + new[at : at + pair]).digest() for at in range(0, len(new), pair)])
            level += 1

    def _over(self, begin: int, end: int) -> bytes:
        """Return the hash over leaves `begin` to `end`; `begin` is a multiple of the power of two that holds them."""
        width = end - begin
        if width & (width - 1) == 0:
            return self._node(width.bit_length() - 1, begin // width)
        split = begin + _split(width)
        return node_hash(self._over(begin, split), self._over(split, end))

    def _node(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def _known(self, size: int | None) -> int:
        if size is None:
            return self.size
        _require(0 <= size <= self.size, f"the log has {self.size} entries, there is no size {size}")
        return size


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise LedgerError(sentence)


def _split(size: int) -> int:
    """Return the largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
