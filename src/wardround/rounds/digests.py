"""Digests of tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from wardround.core.update import Tensors


def digest_of(tensors: Tensors) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}\x1f{value.dtype.str}\x1f{value.shape}\x1f".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def frames_digest(digests: Iterable[bytes]) -> str:
    """Return what stands in the ledger for an update in frames: the SHA-256 of the SHA-256 of each, in their order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()
