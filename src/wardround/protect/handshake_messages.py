"""The three messages of a handshake as bytes: hello, introduction, confirmation. Bounded, versioned, exact."""

from __future__ import annotations

from dataclasses import dataclass

from wardround.core.names import MAX_NAME_BYTES
from wardround.protect.boxes import BOX_BYTES, KEY_BYTES
from wardround.protect.identity import BOTH_SIGNATURES_BYTES, PUBLIC_BYTES, PublicIdentity
from wardround.protect.octets import Reader, counted, joined

X25519_BYTES = 32
ML_KEM_BYTES = 1184
CIPHERTEXT_BYTES = 1088
FRESH_BYTES = 32
NONCE_BYTES = 16
DIGEST_BYTES = 32
MAX_SECRET_BYTES = 2**16
"""Longest run secret that the caller may give; the run's group key travels with it."""

_HELLO, _INTRODUCTION, _CONFIRMATION = b"WRHL\x01", b"WRHI\x01", b"WRHC\x01"
MAX_BOX_BYTES = MAX_SECRET_BYTES + KEY_BYTES + BOX_BYTES
MAX_HELLO_BYTES = (
    len(_HELLO) + 4 + MAX_NAME_BYTES + PUBLIC_BYTES + X25519_BYTES + ML_KEM_BYTES + FRESH_BYTES + BOTH_SIGNATURES_BYTES
)
MAX_INTRODUCTION_BYTES = len(_INTRODUCTION) + CIPHERTEXT_BYTES + 4 + MAX_BOX_BYTES + BOTH_SIGNATURES_BYTES
CONFIRMATION_BYTES = len(_CONFIRMATION) + 2 * DIGEST_BYTES


@dataclass(frozen=True)
class Hello:
    """A site's keys for one run.

    Attributes:
        site: its name.
        identity: who signs.
        x25519: ephemeral public key.
        ml_kem: ephemeral ML-KEM-768 encapsulation key.
        fresh: random bytes that the site drew for this run.
        signature: of both identity keys, over all of it, the run's nonce and the plan's digest.
    """

    site: str
    identity: PublicIdentity
    x25519: bytes
    ml_kem: bytes
    fresh: bytes
    signature: bytes = b""

    def signed(self, nonce: bytes, plan_digest: bytes) -> bytes:
        """Return the message that `signature` is over."""
        return joined("hello", nonce, plan_digest, self._body())

    def to_bytes(self) -> bytes:
        """Write the hello."""
        return self._body() + self.signature

    @classmethod
    def from_bytes(cls, what: str, data: bytes) -> Hello:
        """Read a hello.

        Raises:
            WireError: `what` is no hello.
        """
        reader = Reader(what, data, MAX_HELLO_BYTES)
        reader.start(_HELLO)
        hello = cls(
            site=reader.take_name(),
            identity=PublicIdentity.from_bytes(reader.take(PUBLIC_BYTES), f"the identity in {what}"),
            x25519=reader.take(X25519_BYTES),
            ml_kem=reader.take(ML_KEM_BYTES),
            fresh=reader.take(FRESH_BYTES),
            signature=reader.take(BOTH_SIGNATURES_BYTES),
        )
        reader.end()
        return hello

    def _body(self) -> bytes:
        name = counted(self.site.encode())
        return _HELLO + name + self.identity.to_bytes() + self.x25519 + self.ml_kem + self.fresh


@dataclass(frozen=True)
class Introduction:
    """What the first site of a pair sends to the second.

    Attributes:
        ciphertext: of ML-KEM-768, to the second site's key.
        box: the run's secret, sealed for the second site; empty unless the leader sends it.
        signature: of both identity keys of the first site.
    """

    ciphertext: bytes
    box: bytes
    signature: bytes = b""

    def signed(self, run_id: bytes, sender: Hello, receiver: Hello) -> bytes:
        """Return the message that `signature` is over."""
        names = (sender.site.encode(), receiver.site.encode())
        keys = (sender.x25519, sender.ml_kem, receiver.x25519, receiver.ml_kem)
        return joined("introduction", run_id, *names, *keys, self.ciphertext, self.box)

    def to_bytes(self) -> bytes:
        """Write the introduction."""
        return _INTRODUCTION + self.ciphertext + counted(self.box) + self.signature

    @classmethod
    def from_bytes(cls, what: str, data: bytes) -> Introduction:
        """Read an introduction.

        Raises:
            WireError: `what` is no introduction.
        """
        reader = Reader(what, data, MAX_INTRODUCTION_BYTES)
        reader.start(_INTRODUCTION)
        introduction = cls(
            reader.take(CIPHERTEXT_BYTES), reader.take_counted(MAX_BOX_BYTES), reader.take(BOTH_SIGNATURES_BYTES)
        )
        reader.end()
        return introduction


@dataclass(frozen=True)
class Confirmation:
    """What each site of a pair sends to the other at the end.

    Attributes:
        check: of the run's secret; tells nothing about it, but differs for another one.
        mac: of everything that went before and of `check`, under the pair's key for this direction.
    """

    check: bytes
    mac: bytes

    def to_bytes(self) -> bytes:
        """Write `CONFIRMATION_BYTES` bytes."""
        return _CONFIRMATION + self.check + self.mac

    @classmethod
    def from_bytes(cls, what: str, data: bytes) -> Confirmation:
        """Read a confirmation.

        Raises:
            WireError: `what` is no confirmation.
        """
        reader = Reader(what, data, CONFIRMATION_BYTES)
        reader.start(_CONFIRMATION)
        confirmation = cls(reader.take(DIGEST_BYTES), reader.take(DIGEST_BYTES))
        reader.end()
        return confirmation
