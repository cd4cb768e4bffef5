"""Who co-signed a checkpoint, and when that makes it final.

With n sites, q = floor(2n/3) + 1 of them make a checkpoint final. **Two checkpoints of which neither continues the
other are never both final while fewer than n/3 sites are dishonest**, whatever the coordinator does:

1. q > 2n/3, so any two groups of q sites have at least 2q - n > n/3 sites in common.
2. Fewer than n/3 sites are dishonest, so one of those in common is honest.
3. An honest site signs a checkpoint only if the log under it begins with the log that it signed last
   (`wardround.ledger.cosign`), and it keeps what it signed before the signature leaves it. The logs that it signed
   thus form a chain, each the beginning of the next: of any two of them one continues the other.
4. So one of the two checkpoints continues the other. (That a proof of consistency cannot lie rests on SHA-256: two
   logs under one root would be a collision.)

Nor can the dishonest stop the others, for n minus fewer than n/3 sites is more than 2n/3, and so at least q.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from wardround.errors import LedgerError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.note_keys import COSIGNATURE, ML_DSA_65, Key, key_name
from wardround.ledger.notes import Note


def quorum(num_sites: int) -> int:
    """Return how many of `num_sites` sites make a checkpoint final: more than two thirds of them."""
    return 2 * num_sites // 3 + 1


@dataclass(frozen=True)
class Endorsement:
    """Who stands behind a checkpoint.

    Attributes:
        checkpoint: what was signed.
        times_s: site -> when it says that it co-signed, in seconds since 1970.
        outlasting: sites that also signed with ML-DSA-65, sorted.
        by_coordinator: whether the coordinator signed.
        strangers: names in signature lines of keys that are not in the roster. In a checkpoint that other witnesses
            signed as well they are no fault; in a run's own ledger they are.
        missing: sites that did not co-sign, sorted.
    """

    checkpoint: Checkpoint
    times_s: Mapping[str, int]
    outlasting: tuple[str, ...]
    by_coordinator: bool
    strangers: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def signed(self) -> tuple[str, ...]:
        """The sites that co-signed, sorted."""
        return tuple(sorted(self.times_s))

    @property
    def is_final(self) -> bool:
        """Whether enough sites co-signed."""
        return len(self.times_s) >= self._needed

    @property
    def is_outlasting(self) -> bool:
        """Whether it is final also to those for whom an Ed25519 signature proves nothing any more."""
        return len(self.outlasting) >= self._needed

    @property
    def _needed(self) -> int:
        return quorum(len(self.times_s) + len(self.missing))


@dataclass(frozen=True)
class Roster:
    """The keys of all sites of a run, and of its coordinator if it has one.

    Attributes:
        sites: site -> its raw public keys, Ed25519 and ML-DSA-65.
        log_key: with which the coordinator signs checkpoints.
    """

    sites: Mapping[str, tuple[bytes, bytes]]
    log_key: Key | None = None

    def __post_init__(self) -> None:
        if not self.sites:
            raise LedgerError("a roster without sites makes nothing final")
        for keys in zip(*self.sites.values(), strict=True):
            if len(set(keys)) != len(self.sites):
                raise LedgerError("two sites of the roster have one and the same key, and would count twice")

    @cached_property
    def cosigning(self) -> Mapping[str, Key]:
        """Site -> the key of its cosignatures."""
        return {site: Key(key_name(site), COSIGNATURE, keys[0]) for site, keys in self.sites.items()}

    @cached_property
    def outlasting(self) -> Mapping[str, Key]:
        """Site -> the key of its ML-DSA-65 cosignatures."""
        return {site: Key(key_name(site), ML_DSA_65, keys[1]) for site, keys in self.sites.items()}

    @property
    def keys(self) -> tuple[Key, ...]:
        """All of them."""
        log_key = () if self.log_key is None else (self.log_key,)
        return (*self.cosigning.values(), *self.outlasting.values(), *log_key)

    def endorsement(self, note: Note) -> Endorsement:
        """Return who stands behind a checkpoint.

        Args:
            note: the signed checkpoint.

        Raises:
            LedgerError: it is no checkpoint, or a signature in the name of one of these keys is not by it.
        """
        checkpoint, signed = Checkpoint.from_text(note.text), set(note.verified(self.keys))
        values = {(one.name, one.key_id): one for one in note.signatures}
        times = {
            site: key.time_s(values[key.name, key.key_id]) or 0 for site, key in self.cosigning.items() if key in signed
        }
        return Endorsement(
            checkpoint=checkpoint,
            times_s=times,
            outlasting=tuple(sorted(site for site, key in self.outlasting.items() if key in signed)),
            by_coordinator=self.log_key in signed,
            strangers=note.strangers(self.keys),
            missing=tuple(sorted(set(self.sites) - set(times))),
        )
