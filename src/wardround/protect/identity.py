"""Who a site is: a pair of signing keys, one of today and one that outlasts quantum computers.

Ed25519 (RFC 8032) and ML-DSA-65 (FIPS 204). What is relied on within a run (frames, survivor lists) is signed with
Ed25519 alone; what protects a recorded run later (the exchange of keys) is signed with both, and both must verify.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from wardround.protect.octets import DOMAIN, Reader, joined

ED25519_BYTES = 32
ML_DSA_BYTES = 1952
SEED_BYTES = 32
SIGNATURE_BYTES = 64
BOTH_SIGNATURES_BYTES = SIGNATURE_BYTES + 3309

_PRIVATE = b"WRIS\x01"
_PUBLIC = b"WRIP\x01"

PUBLIC_BYTES = len(_PUBLIC) + ED25519_BYTES + ML_DSA_BYTES
_ALONE, _BOTH = "signed by Ed25519", "signed by Ed25519 and ML-DSA-65"


@dataclass(frozen=True)
class PublicIdentity:
    """The public half of an identity.

    Attributes:
        ed25519: public key, 32 bytes.
        ml_dsa: public key, 1952 bytes.
    """

    ed25519: bytes
    ml_dsa: bytes

    def __repr__(self) -> str:
        return f"PublicIdentity({self.fingerprint})"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of both keys, 64 hexadecimal digits: what two operators compare by phone or in person."""
        return hashlib.sha256(joined("fingerprint", self.ed25519, self.ml_dsa)).hexdigest()

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this identity's `Identity.sign` of `message`."""
        return self._holds_ed25519(_ALONE, message, signature)

    def verify_both(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this identity's `Identity.sign_both` of `message`: neither half is enough."""
        if len(signature) != BOTH_SIGNATURES_BYTES:
            return False
        classical = self._holds_ed25519(_BOTH, message, signature[:SIGNATURE_BYTES])
        return self._holds_ml_dsa(_BOTH, message, signature[SIGNATURE_BYTES:]) and classical

    def to_bytes(self) -> bytes:
        """Write `PUBLIC_BYTES` bytes."""
        return _PUBLIC + self.ed25519 + self.ml_dsa

    @classmethod
    def from_bytes(cls, data: bytes, what: str = "a public identity") -> PublicIdentity:
        """Read what `to_bytes` wrote; `what` names the bytes in an error.

        Raises:
            WireError: the bytes are no public identity.
        """
        reader = Reader(what, data, PUBLIC_BYTES)
        reader.start(_PUBLIC)
        identity = cls(reader.take(ED25519_BYTES), reader.take(ML_DSA_BYTES))
        reader.end()
        return identity

    def _holds_ed25519(self, context: str, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.ed25519).verify(signature, self._in_context(context, message))
        except (InvalidSignature, ValueError):
            return False
        return True

    def _holds_ml_dsa(self, context: str, message: bytes, signature: bytes) -> bool:
        try:
            MLDSA65PublicKey.from_public_bytes(self.ml_dsa).verify(signature, self._in_context(context, message))
        except (InvalidSignature, ValueError):
            return False
        return True

    def _in_context(self, context: str, message: bytes) -> bytes:
        # The signer's fingerprint is signed too: no other pair of keys, with one half exchanged, fits the signature.
        return joined(context, bytes.fromhex(self.fingerprint), message)


class Identity:
    """A site's two private signing keys. They exist in memory and in the site's vault, and nowhere else."""

    def __init__(self, ed25519_seed: bytes, ml_dsa_seed: bytes) -> None:
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(ed25519_seed)
        self._ml_dsa = MLDSA65PrivateKey.from_seed_bytes(ml_dsa_seed)
        self.public = PublicIdentity(
            self._ed25519.public_key().public_bytes_raw(), self._ml_dsa.public_key().public_bytes_raw()
        )

    def __repr__(self) -> str:
        return f"Identity({self.public.fingerprint})"

    @classmethod
    def new(cls) -> Identity:
        """Make an identity from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw(), MLDSA65PrivateKey.generate().private_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Sign with Ed25519: 64 bytes. `message` says by itself what it is for."""
        return self._ed25519.sign(self.public._in_context(_ALONE, message))

    def sign_both(self, message: bytes) -> bytes:
        """Sign with Ed25519 and with ML-DSA-65: `BOTH_SIGNATURES_BYTES` bytes, whose first 64 are no `sign`."""
        signed = self.public._in_context(_BOTH, message)
        return self._ed25519.sign(signed) + self._ml_dsa.sign(signed)

    def sign_plain(self, message: bytes) -> bytes:
        """Sign the very bytes of `message` with Ed25519, for published formats that put nothing around them: 64 bytes.

        Raises:
            ValueError: it could be taken for what `sign` or `sign_both` signs.
        """
        return self._ed25519.sign(_plain(message))

    def sign_plain_outlasting(self, message: bytes) -> bytes:
        """Do as `sign_plain`, with ML-DSA-65: 3309 bytes."""
        return self._ml_dsa.sign(_plain(message))

    def to_bytes(self) -> bytes:
        """Write both private keys, in the clear: for a vault and nothing else."""
        return _PRIVATE + self._ed25519.private_bytes_raw() + self._ml_dsa.private_bytes_raw()

    @classmethod
    def from_bytes(cls, data: bytes) -> Identity:
        """Read what `to_bytes` wrote.

        Raises:
            WireError: the bytes are no identity.
        """
        reader = Reader("a private identity", data, len(_PRIVATE) + 2 * SEED_BYTES)
        reader.start(_PRIVATE)
        identity = cls(reader.take(SEED_BYTES), reader.take(SEED_BYTES))
        reader.end()
        return identity


def _plain(message: bytes) -> bytes:
    if message.startswith(DOMAIN):
        raise ValueError("these bytes begin like a message of this package's own protocol, which has its own signature")
    return message


def grouped(fingerprint: str) -> str:
    """Return a fingerprint in groups of four digits, as it is read out."""
    return " ".join(re.findall(".{1,4}", fingerprint))


def digits(text: str) -> str | None:
    """Return the 64 lowercase hexadecimal digits in `text`, written with or without blanks, colons and capitals.

    Returns:
        ``None`` if `text` is no fingerprint and no digest.
    """
    plain = re.sub(r"[\s:-]", "", text).lower()
    return plain if re.fullmatch("[0-9a-f]{64}", plain) else None
