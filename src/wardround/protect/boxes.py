"""Authenticated encryption and key derivation: two small functions over `cryptography`."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from wardround.protect.octets import joined

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
BOX_BYTES = NONCE_BYTES + TAG_BYTES
"""What a box is longer than its content."""


def seal_box(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """Encrypt with AES-256-GCM under a random 96-bit nonce (NIST SP 800-38D §8.2.2: at most 2^32 boxes under a key).

    Args:
        key: 32 bytes.
        plaintext: less than 2 GiB.
        associated: what the box belongs to; must be given again to open it.

    Returns:
        nonce, ciphertext and tag: `BOX_BYTES` longer than `plaintext`.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def open_box(key: bytes, box: bytes, associated: bytes) -> bytes | None:
    """Return what `seal_box` sealed; ``None`` if any of key, box and `associated` is another than there."""
    if len(box) < BOX_BYTES:
        return None
    try:
        return AESGCM(key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], associated)
    except (InvalidTag, OverflowError):
        return None


def derived(key: bytes, purpose: str, *parts: bytes) -> bytes:
    """Derive a 32-byte key for one purpose from a uniform `key` (HKDF-Expand with SHA-256, RFC 5869 §2.3)."""
    return HKDFExpand(SHA256(), KEY_BYTES, joined(purpose, *parts)).derive(key)
