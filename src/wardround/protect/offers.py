"""What a site makes for one attempt, deals out to its peers in sealed offers, and holds of theirs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wardround.errors import SiteError, WireError
from wardround.protect import masks
from wardround.protect.attempt import Attempt, octets, take_number
from wardround.protect.boxes import KEY_BYTES, TAG_BYTES
from wardround.protect.checked import checked, read_checked
from wardround.protect.masks import Mask
from wardround.protect.octets import Reader, joined
from wardround.protect.shamir import SECRET_BYTES, SHARE_BYTES, split

DIGEST_BYTES = 32
MAX_SECRETS_BYTES = 2**18
MAX_RECEIVED_BYTES = 2**22

_SECRETS = b"WRMS\x01"
_RECEIVED = b"WRMR\x01"
_NONCE = bytes(12)  # a wrapping key encrypts nothing but one table


class PairKeys(Protocol):
    """A site's keys with its peers; `wardround.protect.run_keys.RunKeys` is one."""

    @property
    def pair_keys(self) -> Mapping[str, bytes]:
        """Return peer -> 32 bytes that only the peer and this site have."""
        ...

    def seal(self, peer: str, plaintext: bytes, associated: bytes) -> bytes:
        """Encrypt and authenticate for `peer`."""
        ...

    def open_(self, peer: str, box: bytes, associated: bytes) -> bytes:
        """Return what `peer` sealed.

        Raises:
            WireError: it was sealed by somebody else, for something else, or changed on the way.
        """
        ...


@dataclass(frozen=True)
class Shown:
    """What a site shows of its secrets, the same to every peer.

    Attributes:
        mask_key: public X25519 key.
        commitment: digest over the self seed and the mask key.
        wrapped: the site's pair secrets, in the order of its peers, under its wrapping key; empty where left out.
    """

    mask_key: bytes
    commitment: bytes
    wrapped: bytes


def wrapped_bytes(num_sites: int) -> int:
    """Return the length of `Shown.wrapped` in a cohort of `num_sites`."""
    return (num_sites - 1) * KEY_BYTES + TAG_BYTES


@dataclass(frozen=True, eq=False)
class MaskSecrets:
    """What a site makes, and never shows, for one attempt. New for every attempt, from the operating system.

    Attributes:
        attempt: the attempt.
        threshold: number of shares that open one of the two seeds.
        site: whose secrets these are.
        mask_seed: stands for the mask key; opened if the site drops out.
        self_seed: stands for the self mask; opened if the site survives.
        mask_shares: shares of `mask_seed`, in the order of the cohort.
        self_shares: shares of `self_seed`, in the order of the cohort.
        pair_secrets: one with each peer, in the order of the peers.
    """

    attempt: Attempt
    threshold: int
    site: str
    mask_seed: bytes = field(repr=False)
    self_seed: bytes = field(repr=False)
    mask_shares: tuple[bytes, ...] = field(repr=False)
    self_shares: tuple[bytes, ...] = field(repr=False)
    pair_secrets: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def new(cls, attempt: Attempt, site: str, threshold: int, keys: PairKeys) -> MaskSecrets:
        """Make the secrets of `site`.

        Raises:
            SiteError: the site is not in the cohort.
            WireError: the threshold is not more than half of the cohort, or a peer has no pair key.
        """
        attempt.index(site)
        attempt.require_threshold(threshold)
        peers = attempt.peers(site)
        if not set(peers) <= set(keys.pair_keys):
            raise WireError(f"the cohort names sites with which site {site!r} shares no key in this run")
        seeds = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(SECRET_BYTES)
        mask_shares, self_shares = (split(seed, threshold, len(attempt.cohort)) for seed in seeds)
        pairs = tuple(masks.pair_secret_of(keys.pair_keys[peer], attempt, site, peer) for peer in peers)
        return cls(attempt, threshold, site, *seeds, mask_shares, self_shares, pairs)

    def offers(self, keys: PairKeys) -> dict[str, bytes]:
        """Return one sealed record per peer: what the site shows, and that peer's two shares."""
        shown = self._shown()
        sealed = {}
        for peer in self.attempt.peers(self.site):
            index = self.attempt.index(peer)
            shares = self.mask_shares[index - 1] + self.self_shares[index - 1]
            record = octets(index) + shown.mask_key + shown.commitment + shares + shown.wrapped
            sealed[peer] = keys.seal(peer, record, self._associated(self.site, peer))
        return sealed

    def accept(self, offers: Mapping[str, bytes], keys: PairKeys) -> Received:
        """Open the offers of all peers.

        Args:
            offers: peer -> what it sealed for this site.
            keys: this site's pair keys.

        Raises:
            WireError: an offer is missing, too many, not from that peer for this attempt and threshold, or malformed.
        """
        peers = self.attempt.peers(self.site)
        if set(offers) != set(peers):
            raise WireError(f"{len(offers)} offers arrived that are not one of each of the {len(peers)} peers")
        opened = {peer: self._open(peer, offers[peer], keys) for peer in peers}
        own = self.attempt.index(self.site) - 1
        opened[self.site] = self._shown(), self.mask_shares[own], self.self_shares[own]
        shown, mask_shares, self_shares = zip(*(opened[site] for site in self.attempt.cohort), strict=True)
        if len({one.mask_key for one in shown}) != len(shown):
            raise WireError("two sites offered the same mask key")
        return Received(self.attempt, self.threshold, self.site, shown, mask_shares, self_shares)

    def mask(self, received: Received) -> Mask:
        """Return this site's mask.

        Args:
            received: what `accept` returned.

        Raises:
            SiteError: `received` belongs to another attempt, site or threshold.
            WireError: a peer's mask key shares no secret.
        """
        if (received.attempt, received.threshold, received.site) != (self.attempt, self.threshold, self.site):
            raise SiteError(f"the offers that site {self.site!r} accepted belong to another attempt")
        private = masks.mask_key(self.mask_seed, self.attempt, self.site)
        added, subtracted = [masks.self_stream_key(self.self_seed, self.attempt, self.site)], list[bytes]()
        for peer, pair_secret in zip(self.attempt.peers(self.site), self.pair_secrets, strict=True):
            shared = masks.exchange(private, received.shown[self.attempt.index(peer) - 1].mask_key, peer)
            stream = masks.pair_stream_key(shared, pair_secret, self.attempt, self.site, peer)
            (added if masks.adds(self.site, peer) else subtracted).append(stream)
        return Mask(tuple(added), tuple(subtracted))

    def to_bytes(self) -> bytes:
        """Write the secrets for the site's private store, and for no other place."""
        head = self.attempt.to_bytes() + octets(self.threshold) + octets(self.attempt.index(self.site))
        parts = self.mask_seed, self.self_seed, *self.mask_shares, *self.self_shares, *self.pair_secrets
        return checked(_SECRETS, head + b"".join(parts))

    @classmethod
    def from_bytes(cls, data: bytes) -> MaskSecrets:
        """Read what `to_bytes` wrote.

        Raises:
            WireError: it is damaged, or something else.
        """
        reader = read_checked("a store of mask secrets", _SECRETS, data, MAX_SECRETS_BYTES)
        attempt, threshold, site = _head(reader)
        seeds = reader.take(SECRET_BYTES), reader.take(SECRET_BYTES)
        shares = _shares(reader, attempt), _shares(reader, attempt)
        pairs = tuple(reader.take(KEY_BYTES) for _ in attempt.peers(site))
        reader.end()
        return cls(attempt, threshold, site, *seeds, *shares, pairs)

    def _shown(self) -> Shown:
        public = public_mask_key(self.mask_seed, self.attempt, self.site)
        wrapping = masks.wrapping_key(self.mask_seed, self.attempt, self.site)
        wrapped = AESGCM(wrapping).encrypt(_NONCE, b"".join(self.pair_secrets), self.attempt.binding())
        return Shown(public, commitment_of(self.self_seed, public, self.attempt, self.site), wrapped)

    def _open(self, peer: str, offer: bytes, keys: PairKeys) -> tuple[Shown, bytes, bytes]:
        plaintext = keys.open_(peer, offer, self._associated(peer, self.site))
        reader = Reader(f"the offer of site {peer!r}", plaintext, MAX_SECRETS_BYTES)
        if take_number(reader) != self.attempt.index(self.site):
            raise WireError(f"the offer of site {peer!r} holds shares for another site")
        public, commitment = reader.take(KEY_BYTES), reader.take(DIGEST_BYTES)
        shares = reader.take(SHARE_BYTES), reader.take(SHARE_BYTES)
        shown = Shown(public, commitment, reader.take(wrapped_bytes(len(self.attempt.cohort))))
        reader.end()
        masks.exchange(masks.mask_key(self.mask_seed, self.attempt, self.site), public, peer)
        return shown, *shares

    def _associated(self, sender: str, receiver: str) -> bytes:
        names = sender.encode(), receiver.encode()
        return joined("mask offer", self.attempt.binding(), octets(self.threshold), *names)


@dataclass(frozen=True, eq=False)
class Received:
    """What a site holds of the whole cohort, itself included, once every offer arrived; in the order of the cohort.

    Attributes:
        attempt: the attempt.
        threshold: number of shares that open a seed.
        site: who holds this.
        shown: what each site showed.
        mask_shares: this site's share of each mask seed.
        self_shares: this site's share of each self seed.
    """

    attempt: Attempt
    threshold: int
    site: str
    shown: tuple[Shown, ...]
    mask_shares: tuple[bytes, ...] = field(repr=False)
    self_shares: tuple[bytes, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Write it for the site's private store, and for no other place."""
        head = self.attempt.to_bytes() + octets(self.threshold) + octets(self.attempt.index(self.site))
        shown = (one.mask_key + one.commitment + one.wrapped for one in self.shown)
        return checked(_RECEIVED, b"".join((head, *self.mask_shares, *self.self_shares, *shown)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Received:
        """Read what `to_bytes` wrote.

        Raises:
            WireError: it is damaged, or something else.
        """
        reader = read_checked("a store of accepted offers", _RECEIVED, data, MAX_RECEIVED_BYTES)
        attempt, threshold, site = _head(reader)
        shares = _shares(reader, attempt), _shares(reader, attempt)
        lengths = KEY_BYTES, DIGEST_BYTES, wrapped_bytes(len(attempt.cohort))
        shown = tuple(Shown(*(reader.take(length) for length in lengths)) for _ in attempt.cohort)
        reader.end()
        return cls(attempt, threshold, site, shown, *shares)


def public_mask_key(mask_seed: bytes, attempt: Attempt, site: str) -> bytes:
    """Return the public mask key that `mask_seed` stands for."""
    return masks.mask_key(mask_seed, attempt, site).public_key().public_bytes_raw()


def commitment_of(self_seed: bytes, public: bytes, attempt: Attempt, site: str) -> bytes:
    """Return the digest by which a self seed, opened later, vouches for itself and for the site's mask key."""
    return hashlib.sha256(joined("self seed", attempt.binding(), site.encode(), public, self_seed)).digest()


def commits_to(shown: Shown, self_seed: bytes, attempt: Attempt, site: str) -> bool:
    """Whether `self_seed` is the one that `shown` commits to."""
    return hmac.compare_digest(shown.commitment, commitment_of(self_seed, shown.mask_key, attempt, site))


def unwrapped(shown: Shown, mask_seed: bytes, attempt: Attempt, site: str) -> dict[str, bytes] | None:
    """Return peer -> pair secret as `site` wrapped them; ``None`` unless `mask_seed` fits all that was shown."""
    if not hmac.compare_digest(shown.mask_key, public_mask_key(mask_seed, attempt, site)):
        return None
    try:
        wrapping = masks.wrapping_key(mask_seed, attempt, site)
        table = AESGCM(wrapping).decrypt(_NONCE, shown.wrapped, attempt.binding())
    except InvalidTag:
        return None
    peers = attempt.peers(site)
    return {peer: table[place * KEY_BYTES :][:KEY_BYTES] for place, peer in enumerate(peers)}


def _head(reader: Reader) -> tuple[Attempt, int, str]:
    attempt, threshold, index = Attempt.read(reader), take_number(reader), take_number(reader)
    attempt.require_threshold(threshold)
    if not 1 <= index <= len(attempt.cohort):
        raise WireError(f"{reader.what} belongs to a site outside the cohort")
    return attempt, threshold, attempt.cohort[index - 1]


def _shares(reader: Reader, attempt: Attempt) -> tuple[bytes, ...]:
    return tuple(reader.take(SHARE_BYTES) for _ in attempt.cohort)
