"""A site's private list of the images that it used, as a sparse Merkle tree.

The tree has 2^256 places, nearly all of them empty; a position is the path from the root, its first bit first. At the
end of a path there is the leaf of an image, SHA-256(0x00, blind, digest), or 32 zero bytes. A node is
SHA-256(0x01, left, right) of its two halves, so that an empty subtree has a known hash for its depth, and a proof
lists only the neighbours that are not empty (Laurie and Kasper 2012, "Revocation Transparency"; the bitmap that says
which ones is that of Dahlberg, Pulls and Peeters 2016, ePrint 2016/683). Unlike trees that end a path at the first
lonely leaf, a proof that something is absent shows no other leaf's position.

From a root nobody learns more than whether the list has changed since the root before it. Proofs also show, by the
number of neighbours, about how long the list is; the site logs that number anyway.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise

from wardround.errors import LedgerError
from wardround.ledger.data_use import UseKey
from wardround.ledger.merkle import HASH_BYTES, LEAF, NODE, node_hash

DEPTH = 256
MAX_IMAGES = 2**22

_MAGIC = b"WRUT\x01"
_IMAGE = struct.Struct(">I32s")
_MAX_ROUND = 2**32 - 1
_HEAD_BYTES = len(_MAGIC) + HASH_BYTES


def _empty_hashes() -> tuple[bytes, ...]:
    hashes = [bytes(HASH_BYTES)]
    for _ in range(DEPTH):
        hashes.append(node_hash(hashes[-1], hashes[-1]))
    return tuple(reversed(hashes))


EMPTY = _empty_hashes()
"""Depth -> the hash of a subtree there that holds no leaf; at `DEPTH` that of an empty place."""

_EMPTY_LEFT = tuple(NODE + empty for empty in EMPTY)


def use_leaf(blind: bytes, digest: bytes) -> bytes:
    """Return the leaf of an image."""
    return hashlib.sha256(LEAF + blind + digest).digest()


@dataclass(frozen=True)
class Path:
    """What stands beside the way from a place to the root.

    Attributes:
        beside: 256 bits in 32 bytes, the first of them for the neighbour right under the root; a bit is set where the
            neighbour is not empty.
        hashes: those neighbours, in the same order.
    """

    beside: bytes
    hashes: tuple[bytes, ...]

    def root(self, position: bytes, leaf: bytes | None) -> bytes:
        """Return the root that this path leads to.

        Args:
            position: of the place.
            leaf: what is there; ``None`` for nothing.

        Raises:
            LedgerError: the path is none, or shows an empty neighbour as one that is not.
        """
        bits = int.from_bytes(self.beside, "big")
        if len(self.beside) != HASH_BYTES or len(position) != HASH_BYTES or bits.bit_count() != len(self.hashes):
            raise LedgerError("a path in a list of images has another number of neighbours than it says")
        place, found, left = int.from_bytes(position, "big"), leaf or EMPTY[DEPTH], list(self.hashes)
        for depth in range(DEPTH, 0, -1):
            neighbour = EMPTY[depth]
            if bits & 1:
                neighbour = left.pop()
                if neighbour == EMPTY[depth]:
                    raise LedgerError("a path in a list of images shows an empty neighbour as one that is not")
            found = node_hash(neighbour, found) if place & 1 else node_hash(found, neighbour)
            bits, place = bits >> 1, place >> 1
        return found


class UseTree:
    """The list of one site in one run. It belongs in the site's own store, never in a run folder.

    Hashes of subtrees are kept together with the number of leaves under them: leaves are only ever added, so that a
    subtree with as many leaves as before is the same.
    """

    def __init__(self, key: UseKey) -> None:
        self.key = key
        self._rounds: dict[bytes, int] = {}  # digest -> round of its first use
        self._last = 0
        self._positions: list[int] = []
        self._leaves: dict[int, bytes] = {}
        self._hashes: dict[tuple[int, int], tuple[int, bytes]] = {}  # depth, path -> leaves under it, hash

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._positions)

    @property
    def last_round(self) -> int:
        """The last round that added an image; 0 before there is one."""
        return self._last

    def add(self, round_index: int, digests: Iterable[bytes]) -> int:
        """Add images that a round uses; those that are in the list already stay as they are.

        Args:
            round_index: of the round.
            digests: `pixels_digest` of each, in any order.

        Returns:
            How many were new.

        Raises:
            ValueError: a digest has not 32 bytes, or the round is over: there are images of a later one.
            LedgerError: the list is full.
        """
        new = [digest for digest in dict.fromkeys(digests) if digest not in self._rounds]
        if any(len(digest) != HASH_BYTES for digest in new):
            raise ValueError(f"a digest of pixels has {HASH_BYTES} bytes")
        if new and not self._last <= round_index <= _MAX_ROUND:
            raise ValueError(f"round {round_index} is over: the list has images of round {self._last}")
        if self.count + len(new) > MAX_IMAGES:
            raise LedgerError(f"the list of site {self.key.site!r} is full: it takes {MAX_IMAGES} images")
        for digest in new:
            position = self.key.position(digest)
            place = int.from_bytes(position, "big")
            self._rounds[digest] = self._last = round_index
            self._leaves[place] = use_leaf(self.key.blind(position), digest)
            self._positions.append(place)
        self._positions.sort()
        return len(new)

    def as_of(self, round_index: int) -> UseTree:
        """Return the list as it was at the end of a round."""
        tree = UseTree(self.key)
        for one, digests in self._by_round().items():
            if one <= round_index:
                tree.add(one, digests)
        return tree

    def root(self) -> bytes:
        """Return the root."""
        return self._over(0, self.count, 0, 0)

    def holds(self, digest: bytes) -> bool:
        """Whether the image is in the list."""
        return digest in self._rounds

    def path(self, digest: bytes) -> Path:
        """Return the path of an image, be it in the list or not."""
        place = int.from_bytes(self.key.position(digest), "big")
        low, high, beside, hashes = 0, self.count, 0, []
        for depth in range(DEPTH):
            if low == high:
                break
            shift = DEPTH - 1 - depth
            middle = bisect_left(self._positions, (place >> shift | 1) << shift, low, high)
            turn = place >> shift & 1
            (low, high), (begin, end) = ((middle, high), (low, middle)) if turn else ((low, middle), (middle, high))
            if begin < end:
                beside |= 1 << shift
                hashes.append(self._over(begin, end, depth + 1, place >> shift ^ 1))
        return Path(beside.to_bytes(HASH_BYTES, "big"), tuple(hashes))

    def to_bytes(self) -> bytes:
        """Write the list for the site's own store; the key is kept apart."""
        images = (_IMAGE.pack(one, digest) for one, digests in self._by_round().items() for digest in sorted(digests))
        body = b"".join((_MAGIC, bytes.fromhex(self.key.commitment), *images))
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, key: UseKey, data: bytes) -> UseTree:
        """Read what `to_bytes` wrote.

        Args:
            key: of the list.
            data: the bytes as they were found.

        Raises:
            LedgerError: they are damaged, or are of another key's list.
        """
        body, check = data[:-HASH_BYTES], data[-HASH_BYTES:]
        size, rest = divmod(len(body) - _HEAD_BYTES, _IMAGE.size)
        if rest or not 0 <= size <= MAX_IMAGES or hashlib.sha256(body).digest() != check:
            raise LedgerError(f"the list of images of site {key.site!r} is damaged: put back your copy of it")
        if body[:_HEAD_BYTES] != _MAGIC + bytes.fromhex(key.commitment):
            raise LedgerError(f"the list of images of site {key.site!r} is of another version, or of another key")
        tree, images = cls(key), list(_IMAGE.iter_unpack(body[_HEAD_BYTES:]))
        if any(one >= next_one for one, next_one in pairwise(images)):
            raise LedgerError(f"the list of images of site {key.site!r} is not sorted")
        for round_index, found in groupby(images, key=lambda image: image[0]):
            tree.add(round_index, (digest for _, digest in found))
        if tree.count != size:
            raise LedgerError(f"the list of images of site {key.site!r} names one twice")
        return tree

    def _by_round(self) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        for digest, round_index in self._rounds.items():
            found.setdefault(round_index, []).append(digest)
        return found

    def _over(self, low: int, high: int, depth: int, path: int) -> bytes:
        """Return the hash of the subtree at `depth` and `path`, which holds the sorted positions `low` to `high`."""
        if low == high:
            return EMPTY[depth]
        known = self._hashes.get((depth, path))
        if known is not None and known[0] == high - low:
            return known[1]
        first, last = self._positions[low], self._positions[high - 1]
        fork = DEPTH - (first ^ last).bit_length()
        if fork == DEPTH:
            found = self._leaves[first]
        else:
            shift = DEPTH - 1 - fork
            right = last >> shift
            middle = bisect_left(self._positions, right << shift, low, high)
            found = node_hash(self._over(low, middle, fork + 1, right ^ 1), self._over(middle, high, fork + 1, right))
        found = _lifted(found, first, fork, depth)
        self._hashes[depth, path] = high - low, found
        return found


def _lifted(found: bytes, position: int, below: int, above: int) -> bytes:
    """Return the hash at depth `above` of a subtree that holds nothing but the subtree `found` at depth `below`."""
    sha256, bits = hashlib.sha256, position >> (DEPTH - below)
    for depth in range(below, above, -1):
        found = sha256(_EMPTY_LEFT[depth] + found if bits & 1 else NODE + found + EMPTY[depth]).digest()
        bits >>= 1
    return found
