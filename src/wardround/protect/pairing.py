"""One key for two sites, from X25519 and ML-KEM-768 together: it stays secret while either of them holds.

Of a pair, the site whose name sorts first encapsulates to the other. The two shared secrets are concatenated and go
through HKDF-SHA256 (RFC 5869; the combination of NIST SP 800-56C rev. 2 §2, as in TLS 1.3 hybrids) together with the
run and every public value of the pair, so that no key of one run, pair or role is ever a key of another.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wardround.errors import WireError
from wardround.protect.boxes import KEY_BYTES, derived
from wardround.protect.handshake_messages import Hello
from wardround.protect.octets import joined


@dataclass(frozen=True, repr=False)
class Ephemeral:
    """A site's private keys for one handshake; they are dropped when it ends."""

    x25519: X25519PrivateKey
    ml_kem: MLKEM768PrivateKey

    @classmethod
    def new(cls) -> Ephemeral:
        """Make both from the operating system's randomness."""
        return cls(X25519PrivateKey.generate(), MLKEM768PrivateKey.generate())

    def initiate(self, peer: Hello) -> tuple[bytes, bytes]:
        """Return the shared secrets with `peer`, and the ciphertext with which it finds them.

        Raises:
            WireError: the peer's keys are no keys.
        """
        exchanged = self._exchange(peer)
        try:
            encapsulated, ciphertext = MLKEM768PublicKey.from_public_bytes(peer.ml_kem).encapsulate()
        except ValueError:
            raise WireError(f"{peer.site} shows an ML-KEM-768 key that is none") from None
        return exchanged + encapsulated, ciphertext

    def respond(self, peer: Hello, ciphertext: bytes) -> bytes:
        """Return the shared secrets with `peer`, which sent `ciphertext`.

        Raises:
            WireError: the peer's keys or ciphertext are none.
        """
        try:
            return self._exchange(peer) + self.ml_kem.decapsulate(ciphertext)
        except ValueError:
            raise WireError(f"{peer.site} sent an ML-KEM-768 ciphertext that is none") from None

    def _exchange(self, peer: Hello) -> bytes:
        # The library refuses what gives an all-zero secret, whoever else takes part (RFC 7748 §6.1).
        try:
            return self.x25519.exchange(X25519PublicKey.from_public_bytes(peer.x25519))
        except ValueError:
            raise WireError(f"{peer.site} shows an X25519 key of small order, which would share no secret") from None


@dataclass(frozen=True)
class Pair:
    """Two sites and the public values of their agreement.

    Attributes:
        run_id: of the run.
        first: the site whose name sorts first.
        second: the other.
        ciphertext: that the first sent to the second.
    """

    run_id: bytes
    first: Hello
    second: Hello
    ciphertext: bytes

    def transcript(self) -> bytes:
        """SHA-256 over the run, both names, both sites' ephemeral public keys and the ciphertext."""
        public = (part for one in (self.first, self.second) for part in (one.site.encode(), one.x25519, one.ml_kem))
        return hashlib.sha256(joined("pair", self.run_id, *public, self.ciphertext)).digest()

    def key(self, shared: bytes) -> bytes:
        """Return the pair's key.

        Args:
            shared: the X25519 secret and then the ML-KEM-768 secret.
        """
        info = joined("pair key", self.first.site.encode(), self.second.site.encode(), self.transcript())
        return HKDF(SHA256(), KEY_BYTES, salt=self.run_id, info=info).derive(shared)

    def confirmation(self, key: bytes, sender: str, receiver: str, check: bytes) -> bytes:
        """Return the HMAC with which `sender` shows `receiver` that it has `key`, for this very exchange."""
        names = (sender.encode(), receiver.encode())
        message = joined("confirmation", self.run_id, *names, self.transcript(), check)
        return hmac.digest(derived(key, "confirmation key", *names), message, "sha256")
