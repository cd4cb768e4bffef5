"""A 32-byte secret in shares, any `threshold` of which give it back (Shamir 1979, "How to share a secret").

PyCryptodome shares 16-byte blocks over GF(2^128); a secret here is two blocks, shared apart and carried side by side.
Any `threshold` − 1 shares are uniform and independent of the secret. Shares are not authenticated: whoever combines
them must be able to recognise the secret, as `wardround.protect.unmask` does.
"""

from __future__ import annotations

from collections.abc import Mapping

from wardround.errors import WireError

SECRET_BYTES = 32
SHARE_BYTES = 32
MAX_SHARES = 255

_BLOCK_BYTES = 16


def split(secret: bytes, threshold: int, count: int) -> tuple[bytes, ...]:
    """Share `secret` with coefficients from the operating system.

    Args:
        secret: 32 bytes.
        threshold: number of shares that give the secret back; 2 to `count`.
        count: number of shares, at most 255.

    Returns:
        The shares; the one at position ``p`` has index ``p + 1``.

    Raises:
        ValueError: a length or a number is out of range.
    """
    from Crypto.Protocol.SecretSharing import Shamir

    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret of {len(secret)} bytes is not one of {SECRET_BYTES}")
    if not 2 <= threshold <= count <= MAX_SHARES:
        raise ValueError(f"{threshold} of {count} shares is not 2 <= threshold <= count <= {MAX_SHARES}")
    halves = [Shamir.split(threshold, count, block) for block in _blocks(secret)]
    return tuple(left + right for (_, left), (_, right) in zip(*halves, strict=True))


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Give back the secret that at least `threshold` shares stand for; the ones with the lowest indices are used.

    Args:
        shares: index (from 1) -> share.
        threshold: as given to `split`.

    Raises:
        WireError: too few shares, or a share or an index that `split` never returns.
    """
    from Crypto.Protocol.SecretSharing import Shamir

    if threshold < 2 or len(shares) < threshold:
        raise WireError(f"{len(shares)} shares do not give back a secret that needs {threshold}")
    for index, share in shares.items():
        if not 1 <= index <= MAX_SHARES or len(share) != SHARE_BYTES:
            raise WireError(f"share {index} is out of range, or its {len(share)} bytes are not {SHARE_BYTES}")
    used = sorted(shares.items())[:threshold]
    pairs = [(index, _blocks(share)) for index, share in used]
    return b"".join(Shamir.combine([(index, blocks[half]) for index, blocks in pairs]) for half in (0, 1))


def _blocks(value: bytes) -> tuple[bytes, bytes]:
    return value[:_BLOCK_BYTES], value[_BLOCK_BYTES:]
