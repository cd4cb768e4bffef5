"""Sites with keys, a coordinator that keeps logs, and bytes that somebody tampered with."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from wardround.ledger.checkpoint import Checkpoint, run_origin
from wardround.ledger.cosign import Offer, Signer, Witness
from wardround.ledger.entries import ACCEPTED, Broadcast, Entry, UpdateCommitment, Verdict
from wardround.ledger.merkle import leaf_hash
from wardround.ledger.note_keys import COSIGNATURE, ED25519, ML_DSA_65, Key, Signature, key_name
from wardround.ledger.notes import Note
from wardround.ledger.parts import Place
from wardround.ledger.quorum import Roster
from wardround.ledger.tree import Tree

RUN = hashlib.sha256(b"a run").digest()
ORIGIN = run_origin(RUN)
DIGEST = hashlib.sha256(b"something").hexdigest()
TIME_S = 1_800_000_000
NAMES = ("aachen", "bad nauheim", "celle+linden", "döbeln", "essen", "fulda", "gera", "halle", "ilmenau")


class Keys:
    """The two private keys of a site."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.ed25519 = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"1" + site.encode()).digest())
        self.ml_dsa = MLDSA65PrivateKey.from_seed_bytes(hashlib.sha256(b"2" + site.encode()).digest())

    @property
    def public(self) -> tuple[bytes, bytes]:
        return self.ed25519.public_key().public_bytes_raw(), self.ml_dsa.public_key().public_bytes_raw()

    @property
    def signer(self) -> Signer:
        return Signer(Key(key_name(self.site), COSIGNATURE, self.public[0]), self.ed25519.sign)

    @property
    def outlasting(self) -> Signer:
        return Signer(Key(key_name(self.site), ML_DSA_65, self.public[1]), self.ml_dsa.sign)


KEYS = {site: Keys(site) for site in (*NAMES, ORIGIN)}
LOG = Signer(Key(ORIGIN, ED25519, KEYS[ORIGIN].public[0]), KEYS[ORIGIN].ed25519.sign)


def roster(sites: Sequence[str], log_key: Key | None = LOG.key) -> Roster:
    return Roster({site: KEYS[site].public for site in sites}, log_key)


def own_entries(round_index: int, site: str, weight: int = 1) -> list[bytes]:
    """What a site did in a round, made from what it knows."""
    digest = hashlib.sha256(f"{round_index} {site}".encode()).hexdigest()
    update = UpdateCommitment(round_index, site, digest, 1000 + round_index)
    return [update.to_bytes(), Verdict(round_index, site, ACCEPTED, weight, "").to_bytes()]


@dataclass
class History:
    """One log of a run, as a coordinator keeps it."""

    entries: list[bytes] = field(default_factory=list)
    tree: Tree = field(default_factory=Tree)

    def copy(self) -> History:
        other = History()
        other.extend(self.entries)
        return other

    def extend(self, entries: Sequence[bytes]) -> None:
        self.entries += entries
        self.tree.append([leaf_hash(entry) for entry in entries])

    def add(self, *entries: Entry) -> None:
        self.extend([entry.to_bytes() for entry in entries])

    def add_round(self, round_index: int, sites: Sequence[str], broadcast: str = DIGEST) -> None:
        self.add(Broadcast(round_index, broadcast))
        for site in sites:
            self.extend(own_entries(round_index, site))

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(ORIGIN, self.tree.size, self.tree.root())

    def place(self, entry: bytes) -> Place:
        index = self.entries.index(entry)
        return Place(index, self.tree.inclusion(index))

    def consistency(self, old_size: int) -> tuple[bytes, ...]:
        return self.tree.consistency(old_size) if 0 < old_size <= self.tree.size else ()

    def offer(self, witness: Witness, own: Sequence[bytes]) -> Offer:
        checkpoint = self.checkpoint
        return Offer(
            checkpoint,
            LOG.key.sign(checkpoint.text, LOG.sign),
            self.consistency(witness.size),
            tuple(map(self.place, own)),
        )


def cosigned(checkpoint: Checkpoint, sites: Sequence[str], *more: Signature) -> Note:
    """A checkpoint with the signatures of sites, asked for nothing."""
    return noted(
        checkpoint,
        [KEYS[site].signer.key.sign(checkpoint.text, KEYS[site].signer.sign, TIME_S) for site in sites],
        *more,
    )


def noted(checkpoint: Checkpoint, signatures: Sequence[Signature], *more: Signature) -> Note:
    """A checkpoint that the coordinator signed, with further signatures."""
    return Note(checkpoint.text, (LOG.key.sign(checkpoint.text, LOG.sign),)).signed([*signatures, *more])


def tampered(good: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` variants of good bytes, nearly all of them damaged."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(rng.choice(good))
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            rng.choice(_DAMAGES)(rng, data, good)
        yield bytes(data)


def _flip(rng: random.Random, data: bytearray, good: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray, good: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _drop(rng: random.Random, data: bytearray, good: Sequence[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.choice((1, 1, 2, 8, 64))]


def _insert(rng: random.Random, data: bytearray, good: Sequence[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = rng.choice(_MORSELS) if rng.random() < 0.7 else rng.randbytes(rng.randrange(1, 9))


def _replace(rng: random.Random, data: bytearray, good: Sequence[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    morsel = rng.choice(_MORSELS)
    data[start : start + len(morsel)] = morsel


def _splice(rng: random.Random, data: bytearray, good: Sequence[bytes]) -> None:
    other = rng.choice(good)
    data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]


def _value(rng: random.Random, data: bytearray, good: Sequence[bytes]) -> None:
    """Put something else where JSON has a value."""
    colons = [at for at, byte in enumerate(data) if byte == ord(":")]
    if colons:
        start = rng.choice(colons) + 1
        ends = [at for at in range(start, len(data)) if data[at] in b",}"]
        data[start : rng.choice(ends[:3]) if ends else start] = rng.choice(_VALUES)


def _noise(rng: random.Random, data: bytearray, good: Sequence[bytes]) -> None:
    data[:] = rng.randbytes(rng.randrange(200))


_VALUES = (
    b"null", b"true", b"NaN", b"Infinity", b"1e999", b"-0", b"0.0", b"1.0", b"1E5", b"9" * 5000, b"[]", b"{}", b'""',
    b'"\\ud800"', b'"\\u0000"', b'"a"', b"[[" * 400, b"9007199254740992", b"18446744073709551616", b"-1", b"[1,2]",
    b'[1,["' + b"0" * 64 + b'"]]', b'"' + b"g" * 64 + b'"', b'"' + "٣".encode() * 64 + b'"',
    b'"' + b"x" * 200_000 + b'"',
)  # fmt: skip
_MORSELS = (
    *_VALUES, b"\n", b"\n\n", b" ", b"+", b"=", b"==", b"\xe2\x80\x94 ", b"\xe2\x80\xa8", b"\xc2\xa0", b"\xff", b"\0",
    b"\r\n", b"0", b"00", b"-", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\xed\xa0\x80", b"\xef\xbb\xbf",
)  # fmt: skip
_DAMAGES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip, _flip, _cut, _drop, _insert, _replace, _splice, _value, _value, _noise,
)  # fmt: skip
