"""The keys that verify signed notes, and the kinds of signatures that they verify.

Two kinds are those of the published formats: Ed25519 over the text of a note (c2sp.org/signed-note, type 0x01), which a
coordinator makes, and Ed25519 over the text and a time (c2sp.org/tlog-cosignature, type 0x04), which witnesses make.

The third is **not standard**: ML-DSA-65 (FIPS 204), because the sites have such keys, whereas tlog-cosignature knows
ML-DSA-44 alone. It has the private type that signed-note provides, 0xff and a long name, so that other software
ignores it. Unlike the ML-DSA-44 kind it covers the whole text of the note: its message is the one of type 0x04 under
another first line.

A note holds no control characters other than newlines. What `wardround.protect` signs with the same keys begins with
``wardround/1/…`` and a zero byte, so that no signature made for one of these purposes fits another.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

from wardround.errors import LedgerError

KEY_ID_BYTES = 4
MAX_KEY_NAME_BYTES = 512
MAX_TIME_S = 2**63 - 1

_DASH = "— "
_TIME_BYTES = 8

Sign = Callable[[bytes], bytes]
"""Signs the very bytes that it is given, with nothing put around them."""


@dataclass(frozen=True)
class Scheme:
    """A kind of signature.

    Attributes:
        title: in words.
        identifier: what stands before the public key where keys are written and hashed.
        public_bytes: length of a public key.
        signature_bytes: length of a signature, without the time before it.
        header: first line of the message that is signed, where that is the text and a time; empty where it is the text.
        public: reads a public key.
    """

    title: str
    identifier: bytes
    public_bytes: int
    signature_bytes: int
    header: str
    public: Callable[[bytes], Ed25519PublicKey | MLDSA65PublicKey]


ED25519 = Scheme("Ed25519", b"\x01", 32, 64, "", Ed25519PublicKey.from_public_bytes)
COSIGNATURE = Scheme("Ed25519 cosignature", b"\x04", 32, 64, "cosignature/v1", Ed25519PublicKey.from_public_bytes)
ML_DSA_65 = Scheme(
    "ML-DSA-65 cosignature",
    b"\xffwardround/ml-dsa-65-cosignature/v1",
    1952,
    3309,
    "wardround/ml-dsa-65-cosignature/v1",
    MLDSA65PublicKey.from_public_bytes,
)
SCHEMES = (ED25519, COSIGNATURE, ML_DSA_65)


@dataclass(frozen=True)
class Signature:
    """One signature line of a note.

    Attributes:
        name: of the key.
        key_id: first 4 bytes of a hash of the key, which tells keys and kinds under one name apart.
        value: the rest; what it means is up to the key.
    """

    name: str
    key_id: bytes
    value: bytes

    def __post_init__(self) -> None:
        require_key_name(self.name)
        if len(self.key_id) != KEY_ID_BYTES or not self.value:
            raise LedgerError(f"the signature of {self.name!r} is empty or has no key ID of {KEY_ID_BYTES} bytes")

    @property
    def line(self) -> str:
        """The line, with its newline."""
        return f"{_DASH}{self.name} {to_base64(self.key_id + self.value)}\n"

    @classmethod
    def from_line(cls, line: str) -> Signature:
        """Read what `line` is of a signature.

        Raises:
            LedgerError: it is no signature line.
        """
        name, space, encoded = line.removeprefix(_DASH).removesuffix("\n").partition(" ")
        if not line.startswith(_DASH) or not line.endswith("\n") or not space:
            raise LedgerError(f"{line[:64]!r} is no signature line of a note")
        data = from_base64(encoded)
        return cls(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


@dataclass(frozen=True)
class Key:
    """A verifier key.

    Attributes:
        name: whose it is, as in signature lines; without spaces and ``+``.
        scheme: the kind of its signatures.
        public: the public key.
    """

    name: str
    scheme: Scheme
    public: bytes

    def __post_init__(self) -> None:
        require_key_name(self.name)
        if len(self.public) != self.scheme.public_bytes:
            raise LedgerError(f"the {self.scheme.title} key of {self.name!r} has not {self.scheme.public_bytes} bytes")

    @cached_property
    def key_id(self) -> bytes:
        """What stands for the key in signature lines: too short to be more than a label."""
        hashed = self.name.encode() + b"\n" + self.scheme.identifier + self.public
        return hashlib.sha256(hashed).digest()[:KEY_ID_BYTES]

    def to_text(self) -> str:
        """Write the key as signed-note does: name, key ID and key with ``+`` between them."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(self.scheme.identifier + self.public)}"

    @classmethod
    def from_text(cls, text: str) -> Key:
        """Read what `to_text` wrote.

        Raises:
            LedgerError: it is no verifier key, or of a kind that is not read here.
        """
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        material = from_base64(encoded)
        for scheme in SCHEMES:
            public = material.removeprefix(scheme.identifier)
            if len(public) == scheme.public_bytes == len(material) - len(scheme.identifier):
                key = cls(name, scheme, public)
                if key.key_id.hex() == key_id:
                    return key
                raise LedgerError(f"the verifier key of {name!r} was changed: its key ID does not fit it")
        raise LedgerError(f"{text[:64]!r} is no verifier key of a kind that this installation reads")

    def sign(self, text: str, sign: Sign, time_s: int = 0) -> Signature:
        """Sign the text of a note.

        Args:
            text: with its last newline.
            sign: signs with the private half of this key.
            time_s: seconds since 1970, at kinds that have a time in them.

        Raises:
            LedgerError: `time_s` is no such time, or `sign` signs with another key.
        """
        time = b""
        if self.scheme.header:
            if not 0 <= time_s <= MAX_TIME_S:
                raise LedgerError(f"a cosignature cannot have the time {time_s}")
            time = time_s.to_bytes(_TIME_BYTES, "big")
        signature = Signature(self.name, self.key_id, time + sign(self._message(text, time)))
        if not self.holds(text, signature):
            raise LedgerError(f"what signs for {self.name!r} has another key than the roster says")
        return signature

    def holds(self, text: str, signature: Signature) -> bool:
        """Whether `signature` is one of `text` by this key."""
        split = _TIME_BYTES if self.scheme.header else 0
        time, value = signature.value[:split], signature.value[split:]
        if (signature.name, signature.key_id) != (self.name, self.key_id) or len(value) != self.scheme.signature_bytes:
            return False
        if int.from_bytes(time, "big") > MAX_TIME_S:
            return False
        try:
            self.scheme.public(self.public).verify(value, self._message(text, time))
        except (InvalidSignature, ValueError):
            return False
        return True

    def time_s(self, signature: Signature) -> int | None:
        """Return when a signature by this key says that it was made; ``None`` for a kind without a time."""
        return int.from_bytes(signature.value[:_TIME_BYTES], "big") if self.scheme.header else None

    def _message(self, text: str, time: bytes) -> bytes:
        if not self.scheme.header:
            return text.encode()
        return f"{self.scheme.header}\ntime {int.from_bytes(time, 'big')}\n{text}".encode()


def key_name(site: str) -> str:
    """Return the name of a site's keys: the site's, with everything but plain letters and digits in percent escapes."""
    return quote(site, safe="")


def require_key_name(name: str) -> None:
    """Refuse what signed-note does not allow as the name of a key.

    Raises:
        LedgerError: it is empty or too long, or holds a space, a ``+`` or a control character.
    """
    if not 0 < len(name.encode("utf-8", "surrogatepass")) <= MAX_KEY_NAME_BYTES:
        raise LedgerError(f"a key has a name of 1 to {MAX_KEY_NAME_BYTES} bytes, not {name[:32]!r}")
    if any(letter.isspace() or letter == "+" or letter < " " or "\ud800" <= letter <= "\udfff" for letter in name):
        raise LedgerError(f"a key's name holds no spaces, pluses or control characters, {name[:64]!r} does")


def to_base64(data: bytes) -> str:
    """Write bytes in the standard base64 of RFC 4648."""
    return b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Read what `to_base64` wrote.

    Raises:
        LedgerError: it is no base64, or has bits that mean nothing.
    """
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = b""
    if to_base64(data) != text:
        raise LedgerError(f"{text[:32]!r} is not base64 in the one way in which it may be written")
    return data
