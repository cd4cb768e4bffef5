"""What a site holds after a handshake: the keys of one run."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from wardround.core.names import MAX_NAME_BYTES
from wardround.errors import WireError
from wardround.protect.boxes import KEY_BYTES, derived, open_box, seal_box
from wardround.protect.handshake_messages import DIGEST_BYTES, MAX_SECRET_BYTES
from wardround.protect.identity import PUBLIC_BYTES, PublicIdentity
from wardround.protect.octets import Reader, counted, joined

MIN_SITES, MAX_SITES = 2, 200

_MAGIC = b"WRRK\x01"
_COUNT = struct.Struct(">H")
_SITE_BYTES = 4 + MAX_NAME_BYTES + PUBLIC_BYTES + KEY_BYTES
_MAX_BYTES = len(_MAGIC) + 256 + MAX_SITES * _SITE_BYTES + MAX_SECRET_BYTES


@dataclass(frozen=True)
class RunKeys:
    """The keys of one run at one site. Every site of the roster holds the same `secret` and `group_key`.

    Attributes:
        run_id: 32 bytes that every key is bound to: nonce, plan and the hellos of all sites.
        site: whose keys these are.
        roster: site -> its identity, for all sites of the run, sorted by name.
        pair_keys: peer -> the key that only it and this site have.
        group_key: the key that the sites of the roster share.
        secret: what the leader made for the run.
    """

    run_id: bytes
    site: str
    roster: Mapping[str, PublicIdentity]
    pair_keys: Mapping[str, bytes] = field(repr=False)
    group_key: bytes = field(repr=False)
    secret: bytes = field(repr=False)

    @property
    def leader(self) -> str:
        """The site that made the secret."""
        return min(self.roster)

    @property
    def peers(self) -> tuple[str, ...]:
        """The other sites, sorted."""
        return tuple(sorted(self.pair_keys))

    def seal(self, peer: str, plaintext: bytes, associated: bytes) -> bytes:
        """Seal `plaintext` for one peer, under a key for this direction.

        A box can be sent again by whoever carries it: `associated` says what it belongs to (round, attempt, kind).

        Args:
            peer: the site that can open it.
            plaintext: less than 2 GiB.
            associated: must be given again to open it.

        Returns:
            The box: 28 bytes longer than `plaintext`.

        Raises:
            WireError: `peer` is no other site of this run.
        """
        return seal_box(self._towards(self.site, peer), plaintext, associated)

    def open_(self, peer: str, box: bytes, associated: bytes) -> bytes:
        """Open what `peer` sealed for this site.

        Raises:
            WireError: `peer` is no other site of this run, or the box was altered, is another's, or belongs elsewhere.
        """
        plaintext = open_box(self._towards(peer, self.site), box, associated)
        if plaintext is None:
            raise WireError(f"a box from {peer} does not open: it was altered, or belongs to another site or place")
        return plaintext

    def seal_for_roster(self, plaintext: bytes, associated: bytes) -> bytes:
        """Seal `plaintext` for every site of the run. That a site sealed it is shown, which one is not: sign it."""
        return seal_box(self._shared(), plaintext, associated)

    def open_from_roster(self, box: bytes, associated: bytes) -> bytes:
        """Open what some site of the run sealed for all.

        Raises:
            WireError: the box was altered, belongs elsewhere, or comes from outside the run.
        """
        plaintext = open_box(self._shared(), box, associated)
        if plaintext is None:
            raise WireError("a box for all sites does not open: it was altered, or belongs to another run or place")
        return plaintext

    def to_bytes(self) -> bytes:
        """Write the keys, in the clear: for a vault and nothing else."""
        return b"".join(
            (
                _MAGIC,
                self.run_id,
                counted(self.site.encode()),
                _COUNT.pack(len(self.roster)),
                *(self._entry(site) for site in sorted(self.roster)),
                self.group_key,
                counted(self.secret),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> RunKeys:
        """Read what `to_bytes` wrote.

        Raises:
            WireError: the bytes are no keys of a run.
        """
        reader = Reader("the keys of a run", data, _MAX_BYTES)
        reader.start(_MAGIC)
        run_id, site = reader.take(DIGEST_BYTES), reader.take_name()
        roster, pair_keys = {}, {}
        for _ in range(_COUNT.unpack(reader.take(_COUNT.size))[0]):
            name = reader.take_name()
            roster[name] = PublicIdentity.from_bytes(reader.take(PUBLIC_BYTES))
            if name != site:
                pair_keys[name] = reader.take(KEY_BYTES)
        keys = cls(run_id, site, roster, pair_keys, reader.take(KEY_BYTES), reader.take_counted(MAX_SECRET_BYTES))
        reader.end()
        if site not in roster or not MIN_SITES <= len(roster) <= MAX_SITES or keys.to_bytes() != bytes(data):
            raise WireError("the keys of a run are not those of one site among others")
        return keys

    def _entry(self, site: str) -> bytes:
        return counted(site.encode()) + self.roster[site].to_bytes() + self.pair_keys.get(site, b"")

    def _towards(self, sender: str, receiver: str) -> bytes:
        peer = receiver if sender == self.site else sender
        if peer not in self.pair_keys:
            raise WireError(f"{peer!r} is no other site of this run")
        return derived(self.pair_keys[peer], "box key", sender.encode(), receiver.encode())

    def _shared(self) -> bytes:
        return derived(self.group_key, "roster box key", self.run_id)


def run_id_of(nonce: bytes, plan_digest: bytes, hellos: Mapping[str, bytes]) -> bytes:
    """Return the SHA-256 that names a run: another nonce, plan, site or key of a site is another run."""
    return hashlib.sha256(joined("run", nonce, plan_digest, *(hellos[site] for site in sorted(hellos)))).digest()
