"""What a site asks of a checkpoint before it co-signs it; what it signed last is all that it has to remember.

A cosignature says: this log begins with the log that I signed last, and what I did in this round is in it. It does
not say that the other entries are true, or that they are all there; each site sees to its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from wardround.errors import LedgerError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.merkle import EMPTY_ROOT, verify_consistency
from wardround.ledger.note_keys import Key, Sign, Signature
from wardround.ledger.parts import CHECKPOINT, KEY, PLACE, PROOF, SIGNATURE, Place
from wardround.ledger.records import Hash, Record, SiteName, Whole, listed, optional, text

MAX_PLACES = 64


@dataclass(frozen=True)
class Offer(Record):
    """What the coordinator lays before a site that shall co-sign.

    Attributes:
        checkpoint: the log as it is.
        signature: the coordinator's, where it has a key.
        consistency: proof that the log goes on from what the site signed last; empty the first time.
        places: where the site's own entries of the round lie, in the order in which the site names them.
    """

    kind: ClassVar[str] = "offer"
    what: ClassVar[str] = "a checkpoint offered for co-signing"

    checkpoint: Annotated[Checkpoint, CHECKPOINT]
    signature: Annotated[Signature | None, optional(SIGNATURE)]
    consistency: Annotated[tuple[bytes, ...], PROOF]
    places: Annotated[tuple[Place, ...], listed(PLACE, MAX_PLACES)]


@dataclass(frozen=True)
class Signer:
    """A key of a site, and what signs with it.

    Attributes:
        key: the public key under the site's `key_name`.
        sign: signs with the private one, the very bytes that it is given.
    """

    key: Key
    sign: Sign = field(repr=False)


@dataclass(frozen=True)
class Witness(Record):
    """A site as a witness: the log that it signed last.

    Every cosignature comes with a new `Witness`. Whoever holds it stores `to_bytes` *before* the signature leaves the
    site, so that a crash can forget nothing that was signed; a signature that was lost on its way is made again. The
    record finds no bit flipped on the disk: the store that keeps it has to.

    Attributes:
        site: the site.
        origin: of the log of the run.
        log_key: of the coordinator, as the site learnt it at the start of the run; ``None`` if it has none.
        size: number of entries that it signed for; 0 before the first time.
        root: over them.
    """

    kind: ClassVar[str] = "witness"
    what: ClassVar[str] = "the memory of a witness"

    site: SiteName
    origin: Annotated[str, text(128)]
    log_key: Annotated[Key | None, optional(KEY)]
    size: Whole
    root: Hash

    def require(self) -> None:
        """Refuse a root of no entries that is not theirs."""
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise LedgerError(f"{self.what} has a root, but no entries under it")

    @classmethod
    def new(cls, site: str, origin: str, log_key: Key | None = None) -> Witness:
        """Begin a run, with nothing signed."""
        return cls(site, origin, log_key, 0, EMPTY_ROOT)

    def cosign(
        self, offer: Offer, own: Sequence[bytes], signers: Sequence[Signer], time_s: int
    ) -> tuple[Witness, tuple[Signature, ...]]:
        """Sign what is offered, if it holds.

        Args:
            offer: what the coordinator shows.
            own: the entries that must be in the log, made by the site itself from what it knows: of its upload and of
                its weight in this round. None for a site that did nothing in it; it then signs the history alone.
            signers: the keys to sign with; Ed25519 always, ML-DSA-65 when it is due.
            time_s: now, in seconds since 1970.

        Returns:
            What to store, and then the signatures to send.

        Raises:
            LedgerError: the checkpoint is of another log, the coordinator did not sign it, it does not continue what
                this site signed, or lacks one of its entries.
        """
        after = self.follow(offer, own)
        return after, tuple(one.key.sign(offer.checkpoint.text, one.sign, time_s) for one in signers)

    def follow(self, offer: Offer, own: Sequence[bytes]) -> Witness:
        """Return what there is to remember once `offer` is signed; the conditions are those of `cosign`."""
        checkpoint = offer.checkpoint
        try:
            self._require_log(offer)
            self._require_history(checkpoint, offer.consistency)
            self._require_own(offer, own)
        except LedgerError as error:
            raise LedgerError(f"site {self.site!r} does not co-sign {checkpoint}: {error}") from None
        return replace(self, size=checkpoint.size, root=checkpoint.root)

    def _require_log(self, offer: Offer) -> None:
        if offer.checkpoint.origin != self.origin:
            raise LedgerError(f"it is of {offer.checkpoint.origin!r}, not of {self.origin!r}")
        if self.log_key is None:
            return
        if offer.signature is None or not self.log_key.holds(offer.checkpoint.text, offer.signature):
            raise LedgerError("the coordinator's signature is missing or does not fit")

    def _require_history(self, checkpoint: Checkpoint, proof: tuple[bytes, ...]) -> None:
        if self.size == 0:
            if proof:
                raise LedgerError("it comes with a proof that it goes on from nothing")
            return
        if checkpoint.size < self.size:
            raise LedgerError(f"it is shorter than the {self.size} entries signed before, and a log never shrinks")
        verify_consistency(self.size, checkpoint.size, self.root, checkpoint.root, proof)

    def _require_own(self, offer: Offer, own: Sequence[bytes]) -> None:
        if len(offer.places) != len(own):
            raise LedgerError(f"it is shown {len(offer.places)} of its own {len(own)} entries")
        for entry, place in zip(own, offer.places, strict=True):
            place.verify(entry, offer.checkpoint)
