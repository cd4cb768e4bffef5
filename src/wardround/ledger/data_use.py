"""Which image is which in a site's list: digests of pixels, and the secret key that hides them.

An image stands in the list at a position, HMAC-SHA256(k, SHA-256(pixels)), under a leaf that is blinded
(`wardround.ledger.use_tree`). k is made for one site and one run. Its hash is logged before the first round, and k
itself is shown to nobody but the auditor. Without k neither a position nor a leaf tells anything about an image, not
even to somebody who has the image.

A verifiable random function in place of the HMAC would let the site show single positions without k. Among what is
at hand, an Ed25519 signature comes close and does not do: only honest signers have one signature for a message. A
site that picks its nonces could place one image twice and show whichever suits it, "present" or "absent". So absence
is shown with k, to the auditor, and presence to anybody (`wardround.ledger.use_proof`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from wardround.core.codec import canonical_json
from wardround.errors import LedgerError
from wardround.ledger.records import Digest, Hash, Record, SiteName

_PIXELS = b"wardround/pixels/1\n"
_COMMITMENT = b"wardround/data-use-key/1\n"


def pixels_digest(pixels: np.ndarray) -> bytes:
    """Return the SHA-256 of an image: of its dtype, shape and values, in one order of bytes and axes.

    The same pixels from another file give the same digest, whatever that file's format, compression or metadata. One
    bit of one value gives another digest, and so does an image that was scaled or went through a lossy format.

    Args:
        pixels: decoded values, integers, floats or booleans of any shape.

    Raises:
        ValueError: they are something else.
    """
    if pixels.dtype.kind not in "buif":
        raise ValueError(f"pixels have dtype {pixels.dtype}, which has no one way to be written")
    dtype = pixels.dtype.newbyteorder("<")
    head = canonical_json({"dtype": dtype.str, "shape": list(pixels.shape)})
    digest = hashlib.sha256(_PIXELS + head + b"\n")
    digest.update(np.asarray(pixels, dtype).tobytes())
    return digest.digest()


@dataclass(frozen=True)
class UseKey(Record):
    """The secret of one site's list in one run; as a file it is for the site's own store and for the auditor.

    Attributes:
        run: name of the run.
        site: the site.
        secret: k.
    """

    kind: ClassVar[str] = "data-use-secret"
    what: ClassVar[str] = "a data-use key"

    run: Digest
    site: SiteName
    secret: Hash = field(repr=False)

    @classmethod
    def new(cls, run: str, site: str) -> UseKey:
        """Make a key from the operating system's randomness."""
        return cls(run, site, secrets.token_bytes(32))

    @property
    def commitment(self) -> str:
        """SHA-256 of the key, the run and the site, in hexadecimal digits: what is logged before the first round.

        It hides k, which has 256 random bits, and binds to it. With the site in it no site can commit to what another
        one committed to.
        """
        return hashlib.sha256(_COMMITMENT + self.secret + bytes.fromhex(self.run) + self.site.encode()).hexdigest()

    def position(self, digest: bytes) -> bytes:
        """Return where the image with this `pixels_digest` stands."""
        return hmac.digest(self.secret, digest, "sha256")

    def blind(self, position: bytes) -> bytes:
        """Return what blinds the leaf at `position`; to show it gives away nothing about other leaves."""
        return hmac.digest(self.secret, b"blind" + position, "sha256")

    def require_commitment(self, commitment: str) -> None:
        """Check that this is the key that was committed to.

        Raises:
            LedgerError: it is another one.
        """
        if not hmac.compare_digest(self.commitment, commitment):
            raise LedgerError(
                f"the data-use key shown is not the one that site {self.site!r} committed to before the first round"
            )
