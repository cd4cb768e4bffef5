"""One attempt at a masked sum, played with pair keys that nobody had to agree on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives import hashes, hmac

from wardround.errors import WireError
from wardround.protect.attempt import Attempt, SurvivorList, default_threshold
from wardround.protect.boxes import open_box, seal_box
from wardround.protect.masks import Mask
from wardround.protect.offers import MaskSecrets, Received
from wardround.protect.unmask import Reveal

RUN = bytes(range(32))
NAMES = ("alba", "brno", "cork", "davos", "essen", "fano", "genoa", "hull")


@dataclass(frozen=True)
class Keys:
    """Pair keys of one site. `tamper` changes a plaintext before it is sealed, as a lying site would."""

    site: str
    pair_keys: Mapping[str, bytes]
    tamper: Callable[[str, bytes], bytes] = lambda peer, plaintext: plaintext

    def seal(self, peer: str, plaintext: bytes, associated: bytes) -> bytes:
        return seal_box(self.pair_keys[peer], self.tamper(peer, plaintext), associated)

    def open_(self, peer: str, box: bytes, associated: bytes) -> bytes:
        plaintext = open_box(self.pair_keys[peer], box, associated)
        if plaintext is None:
            raise WireError(f"a box from {peer} does not open")
        return plaintext


def keys_of(sites: Iterable[str]) -> dict[str, Keys]:
    """Return site -> its pair keys with all others."""
    tables: dict[str, dict[str, bytes]] = {site: {} for site in sites}
    for left, right in itertools.combinations(tables, 2):
        tables[left][right] = tables[right][left] = os.urandom(32)
    return {site: Keys(site, table) for site, table in tables.items()}


@dataclass(frozen=True)
class Played:
    """An attempt in which every offer arrived."""

    attempt: Attempt
    threshold: int
    secrets: dict[str, MaskSecrets]
    received: dict[str, Received]

    @property
    def masks(self) -> dict[str, Mask]:
        return {site: one.mask(self.received[site]) for site, one in self.secrets.items()}

    def listed(self, *dropped: str) -> SurvivorList:
        survivors = tuple(site for site in self.attempt.cohort if site not in dropped)
        return SurvivorList(self.attempt, self.threshold, survivors)

    def reveals(self, listed: SurvivorList) -> dict[str, Reveal]:
        """Return every survivor's reveal, as it comes off the wire."""
        return {site: Reveal.from_bytes(Reveal.of(self.received[site], listed).to_bytes()) for site in listed.survivors}


def attempt_of(num_sites: int, number: int = 0, round_index: int = 3, run: bytes = RUN) -> Attempt:
    return Attempt(run, round_index, number, NAMES[:num_sites])


def play(attempt: Attempt, threshold: int = 0, keys: Mapping[str, Keys] | None = None) -> Played:
    """Let every site make its secrets, offer, and accept all offers."""
    keys = keys or keys_of(attempt.cohort)
    threshold = threshold or default_threshold(len(attempt.cohort))
    secrets = {site: MaskSecrets.new(attempt, site, threshold, keys[site]) for site in attempt.cohort}
    offers = {site: one.offers(keys[site]) for site, one in secrets.items()}
    received = {
        site: secrets[site].accept({peer: offers[peer][site] for peer in attempt.peers(site)}, keys[site])
        for site in attempt.cohort
    }
    return Played(attempt, threshold, secrets, received)


def uploads(played: Played, words: Mapping[str, np.ndarray], word_bits: int) -> dict[str, np.ndarray]:
    """Return site -> its masked words."""
    modulus_mask = np.uint64(2**word_bits - 1)
    return {
        site: (words[site] + mask.words(0, words[site].size, word_bits)) & modulus_mask
        for site, mask in played.masks.items()
    }


def sign_as(site: str) -> Callable[[bytes], bytes]:
    """Return a stand-in for a signature that only `site` makes."""

    def sign(message: bytes) -> bytes:
        mac = hmac.HMAC(site.encode() * 8, hashes.SHA256())
        mac.update(message)
        return mac.finalize()

    return sign


def verify(site: str, signature: bytes, message: bytes) -> bool:
    """Tell whether `sign_as(site)` made `signature`."""
    return signature == sign_as(site)(message)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return `data` cut, extended, spliced or with some bits or bytes changed."""
    kind = rng.integers(5)
    if kind == 0:
        return data[: rng.integers(len(data))]
    if kind == 1:
        return data + rng.bytes(int(rng.integers(1, 40)))
    if kind == 2:
        start, other = rng.integers(len(data), size=2)
        return data[:start] + data[other:] if start != other else data + b"\0"
    changed = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 8]))):
        place = rng.integers(len(data))
        changed[place] = changed[place] ^ (1 << int(rng.integers(8))) if kind == 3 else int(rng.integers(256))
    return bytes(changed)
