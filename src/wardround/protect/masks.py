"""Masks that cancel in the sum of a cohort: double masking after Bonawitz et al. 2017, section 4 (CCS '17, Figure 4).

Every site ``s`` adds to its words, modulo ``2^word_bits``,

```text
mask(s) = PRG(self seed of s)  +  sum over peers p of  sign(s, p) · PRG(pair seed of s and p)
          sign(s, p) = −sign(p, s):  the site whose name sorts first adds
```

Summed over the cohort the pair masks cancel. The self masks of the survivors, and the pair masks between a survivor
and a site that dropped out, are left; `wardround.protect.unmask` computes them from shares that the survivors reveal.

```text
offer    attempt, secrets -> one sealed record per peer     wardround.protect.offers
upload   words + mask                                       Mask.words
agree    every survivor signs the list of survivors         wardround.protect.commitment
reveal   per survivor a share of its self seed, per dropped site a share of its mask seed; never both
unmask   shares -> what is left in the sum                  wardround.protect.unmask
```

**What is protected, against whom.** n sites, threshold t > n/2, c of the sites side with the coordinator.

- *The coordinator relays and stores everything, and shows everybody the same list* (c ≤ t − 1): of the updates of the
  other sites it learns the sum over those on the list, and nothing else. The upload of a site that is declared
  dropped though it lives stays under that site's self mask, whose shares nobody reveals.
- *The coordinator lies as it likes* (c ≤ 2t − n − 1: up to n − 3 sites for t = n − 1, none or one for t just above
  n/2): the same, and every sum holds at least n − t + 1 of the other sites. Two lists of one attempt can both be
  signed only by disjoint sets of honest sites, at least t − c each, and there are only n − c < 2 (t − c) of them. With
  more sites on its side the coordinator can show two lists and open one site from both; Bonawitz et al. ask for
  2t > n + c against an active server, too. Keys and offers cannot be swapped: they travel under pair keys.
- *What the sum itself reveals is not hidden*: a sum over k survivors of which k − 1 side with the coordinator is the
  last one's update. Sums of different rounds are different sums; what follows from comparing them is not hidden
  either. Sums of several attempts of one round are kept apart by `wardround.protect.retry`.
- *A site that lies* can make the sum wrong or void, as it can with its update; one wrong share is found and worked
  around while more than t sites reveal.

**What differs from Bonawitz et al.**

- Mask public keys do not pass through the coordinator in the clear before the sum: they travel inside the offers,
  sealed under pair keys made from X25519 and ML-KEM-768 and authenticated by the sites' identities, so no further
  signatures on them are needed.
- When sites drop out, the reveals do show mask public keys to the coordinator, who needs them. A pair seed therefore
  comes from the X25519 exchange *and* a secret exported from the pair key: later decryption of recorded traffic must
  break both kinds of key agreement. Each site wraps these pair secrets under its mask seed, so that the shares of
  that one seed still recover a dropped site.
- What is shared is a 32-byte mask seed, from which the X25519 key and the wrapping key are derived. Whatever the
  unmasker uses is verified by a secret that t shares give: survivors by a commitment to their self seed and mask
  key, dropped sites by their mask key and the tag of their wrapped secrets.
- Every survivor signs the list of survivors, not only t of them.
- The pairs form the complete graph; Bell et al. 2020 (CCS '20) thin it out for thousands of clients, which hospitals
  are not. Cost per site and word: 8 bytes of keystream per peer.

The PRG is AES-256 in counter mode, 8 bytes a word, so that any range of words can be made by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wardround.errors import WireError
from wardround.protect.attempt import Attempt
from wardround.protect.boxes import KEY_BYTES, derived
from wardround.protect.octets import joined

WORD_BYTES = 8
MAX_WORDS = 2**62

_BLOCK_WORDS = 2  # words in one AES block
_STRETCH_WORDS = 2**15  # stays in the cache while all streams are added


@dataclass(frozen=True)
class Mask:
    """Streams of words that are added and subtracted, each known by its key.

    Attributes:
        added: 32-byte keys of the streams with sign +.
        subtracted: 32-byte keys of the streams with sign −.
    """

    added: tuple[bytes, ...] = field(repr=False)
    subtracted: tuple[bytes, ...] = field(repr=False)

    def words(self, first_word: int, count: int, word_bits: int) -> np.ndarray:
        """Return a range of the mask; ranges can be made in any order and together give the whole.

        Args:
            first_word: where the range starts, from 0.
            count: number of words.
            word_bits: the modulus is ``2^word_bits``; 1 to 64.

        Returns:
            uint64, below the modulus.

        Raises:
            ValueError: the range or the modulus is out of bounds.
        """
        if not (0 <= first_word and 0 <= count and first_word + count <= MAX_WORDS and 1 <= word_bits <= 64):
            raise ValueError(f"{count} words of {word_bits} bits from {first_word} is no range of a mask")
        total = np.zeros(count, np.uint64)
        plus = [_stream(key, first_word) for key in self.added]
        minus = [_stream(key, first_word) for key in self.subtracted]
        for start in range(0, count, _STRETCH_WORDS):
            part = total[start : start + _STRETCH_WORDS]
            # uint64 wraps at 2^64, a multiple of the modulus, so one reduction at the end is enough.
            for stream in plus:
                np.add(part, stream(part.size), out=part)
            for stream in minus:
                np.subtract(part, stream(part.size), out=part)
        total &= np.uint64(2**word_bits - 1)
        return total


def pair_secret_of(pair_key: bytes, attempt: Attempt, site: str, peer: str) -> bytes:
    """Return the pair's secret for one attempt: what a pair seed takes from the pair key.

    Args:
        pair_key: 32 uniform bytes that only the two sites have.
        attempt: the attempt.
        site: one of the two.
        peer: the other; the order of the two does not matter.
    """
    return derived(pair_key, "mask pair secret", attempt.binding(), *_names(site, peer))


def pair_stream_key(shared: bytes, pair_secret: bytes, attempt: Attempt, site: str, peer: str) -> bytes:
    """Return the key of the stream that two sites share.

    Args:
        shared: outcome of `exchange`.
        pair_secret: outcome of `pair_secret_of`.
        attempt: the attempt.
        site: one of the two.
        peer: the other; the order of the two does not matter.
    """
    return _hkdf(shared + pair_secret, attempt, "pair mask", *_names(site, peer))


def self_stream_key(self_seed: bytes, attempt: Attempt, site: str) -> bytes:
    """Return the key of the stream of `site` alone."""
    return _hkdf(self_seed, attempt, "self mask", site.encode())


def mask_key(mask_seed: bytes, attempt: Attempt, site: str) -> X25519PrivateKey:
    """Return the private mask key that `mask_seed` stands for."""
    return X25519PrivateKey.from_private_bytes(_hkdf(mask_seed, attempt, "mask key", site.encode()))


def wrapping_key(mask_seed: bytes, attempt: Attempt, site: str) -> bytes:
    """Return the key under which `site` wraps its pair secrets."""
    return _hkdf(mask_seed, attempt, "mask wrapping key", site.encode())


def exchange(private: X25519PrivateKey, public: bytes, site: str) -> bytes:
    """Return the secret shared with the owner of `public`.

    Raises:
        WireError: the public key of `site` is of low order, which would make the secret zero whatever our key is.
    """
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise WireError(f"site {site!r} offered a mask key that shares no secret with anybody") from None


def adds(site: str, peer: str) -> bool:
    """Whether `site` adds the mask it shares with `peer`; the other of the two subtracts it."""
    return site < peer


def _hkdf(secret: bytes, attempt: Attempt, purpose: str, *names: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=attempt.binding(), info=joined(purpose, *names)).derive(secret)


def _names(site: str, peer: str) -> list[bytes]:
    return [name.encode() for name in sorted((site, peer))]


def _stream(key: bytes, first_word: int) -> Callable[[int], np.ndarray]:
    """Return what gives the next words of a stream; each call overwrites the words of the one before."""
    start = (first_word // _BLOCK_WORDS).to_bytes(16, "big")
    keystream = Cipher(algorithms.AES(key), modes.CTR(start)).encryptor()
    keystream.update(bytes(WORD_BYTES * (first_word % _BLOCK_WORDS)))
    zeros = memoryview(bytes(WORD_BYTES * _STRETCH_WORDS))
    output = bytearray(len(zeros) + WORD_BYTES * _BLOCK_WORDS)
    words = np.frombuffer(output, "<u8")

    def following(count: int) -> np.ndarray:
        keystream.update_into(zeros[: WORD_BYTES * count], output)
        return words[:count]

    return following
