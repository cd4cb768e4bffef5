"""Digests of tensors."""

from __future__ import annotations

import hashlib

from wardround.core.update import Tensors


def digest_of(tensors: Tensors) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}\x1f{value.dtype.str}\x1f{value.shape}\x1f".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
