"""Merkle trees straight from the recursive definitions of RFC 6962, section 2.1: slow, and no code of ours."""

from __future__ import annotations

import hashlib
from functools import lru_cache

Entries = tuple[bytes, ...]


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@lru_cache(maxsize=100_000)
def root(entries: Entries) -> bytes:
    """MTH(D[n])."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return leaf(entries[0])
    k = below(len(entries))
    return node(root(entries[:k]), root(entries[k:]))


def path(m: int, entries: Entries) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(entries) == 1:
        return []
    k = below(len(entries))
    if m < k:
        return [*path(m, entries[:k]), root(entries[k:])]
    return [*path(m - k, entries[k:]), root(entries[:k])]


def proof(m: int, entries: Entries) -> list[bytes]:
    """PROOF(m, D[n])."""
    return subtree_proof(0, m, entries)


def subtree_proof(start: int, end: int, entries: Entries, known: bool = True) -> list[bytes]:
    """SUBTREE_SUBPROOF(start, end, D[n], b) of draft-ietf-plants-merkle-tree-certs; from 0 on it is RFC 6962's."""
    if (start, end) == (0, len(entries)):
        return [] if known else [root(entries)]
    k = below(len(entries))
    if end <= k:
        return [*subtree_proof(start, end, entries[:k], known), root(entries[k:])]
    if k <= start:
        return [*subtree_proof(start - k, end - k, entries[k:], known), root(entries[:k])]
    return [*subtree_proof(0, end - k, entries[k:], False), root(entries[:k])]


def below(n: int) -> int:
    """Return the largest power of two that is smaller than `n`."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k
