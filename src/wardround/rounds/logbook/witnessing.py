"""A site as a witness of its run's ledger: what it checks before it co-signs, and what it hears from its peers.

A cosignature says: this log begins with the log that I signed last; what I did in this round is in it, with the weight
that I know; and every peer whose signature I was shown under the checkpoint before told me so itself, sealed. The last
is what keeps a coordinator from showing two histories to two halves of the sites.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from wardround.core.codec import Message
from wardround.errors import LedgerError, SiteError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.cosign import Offer
from wardround.ledger.entries import (
    ACCEPTED,
    FAILED,
    AggregateDigest,
    DataUseKey,
    Entry,
    ModelFinal,
    RunOpened,
    Verdict,
    read_entry,
)
from wardround.ledger.gossip import find_fork
from wardround.ledger.merkle import HASH_BYTES, verify_consistency
from wardround.ledger.note_keys import Key
from wardround.ledger.notes import Note
from wardround.ledger.quorum import Roster
from wardround.ledger.records import DIGEST
from wardround.rounds.keyring import Keyring
from wardround.rounds.logbook.contributions import Contributions
from wardround.rounds.logbook.identities import witnesses_among
from wardround.rounds.logbook.lines import BEFORE
from wardround.rounds.logbook.standing import Standing, StandingFile
from wardround.rounds.logbook.used_images import UsedImages
from wardround.rounds.plan import Plan
from wardround.rounds.wire import bytes_of, number_of, tensor_of

_SEALED = b"wardround checkpoint 1"


class Held(Protocol):
    """What a site holds of the run's model by itself, where the coordinator is blind; else nothing."""

    def state(self, round_index: int) -> str:
        """Return the digest of the state after a round; empty if this site does not hold it."""
        ...

    def model_sha256(self) -> str:
        """Return the SHA-256 of the model file that this site wrote; empty if it wrote none."""
        ...


class Witnessing:
    """Joins a run's ledger, co-signs its checkpoints, and hears what its peers co-signed.

    Attributes:
        operations: what the coordinator may call.
    """

    def __init__(
        self,
        site: str,
        plan: Plan,
        keyring: Keyring,
        folder: Path,
        contributions: Contributions,
        used: UsedImages | None,
        held: Held,
    ) -> None:
        """Prepare.

        Args:
            site: name of this site.
            plan: of the run.
            keyring: the keys of the run.
            folder: the site's store.
            contributions: what this site sent.
            used: the list of images that this site used; ``None`` where it keeps none.
            held: what this site holds of the model itself.
        """
        self._site = site
        self._plan = plan
        self._keyring = keyring
        self._contributions = contributions
        self._used = used
        self._held = held
        self._file = StandingFile(site, keyring, folder)
        self.operations: dict[str, Callable[[Message], Message]] = {
            "witness": self._join,
            "cosign": self._cosign,
            "heard": self._hear_last,
        }

    def _commitment(self, run: str) -> str:
        return self._used.of(run).commitment if self._used is not None else ""

    @property
    def run(self) -> str:
        """Name of the run whose ledger this site witnesses; empty before it joined one."""
        return self._file.run

    def _join(self, body: Message) -> Message:
        run, log_key = str(body.fields.get("run")), Key.from_text(str(body.fields.get("log_key")))
        standing = self._file.join(run, log_key)
        said = {"size": standing.witness.size, "commitment": self._commitment(run)}
        return Message(said, self._boxes(standing.note) if standing.note else {})

    def _cosign(self, body: Message) -> Message:
        standing, round_index = self._file.standing, number_of(body, "turn", self._plan.rounds + 1) - 1
        offer = Offer.from_bytes(bytes_of(body, "offer"))
        if 0 < standing.witness.size < offer.checkpoint.size:  # first, for it keeps evidence
            self._hear(body, standing, offer.checkpoint)
        after = standing.witness.follow(offer, self._own(body, round_index))
        signers = self._keyring.cosigners()[: 2 if body.fields.get("outlasting") is True else 1]
        text, now_s = offer.checkpoint.text, int(time.time())
        signatures = [one.key.sign(text, one.sign, now_s) for one in signers]
        # With the coordinator's own signature: whoever holds two such notes can show who made two histories.
        note = Note(text, tuple(one for one in (offer.signature, signatures[0]) if one is not None))
        self._file.keep(Standing(after, note))
        lines = "".join(signature.line for signature in signatures)
        return Message({}, {"signatures": tensor_of(lines.encode()), **self._boxes(note)})

    def _hear_last(self, body: Message) -> Message:
        standing = self._file.standing
        if standing.note is None:
            raise LedgerError(f"site {self._site!r} has signed nothing that others could confirm")
        heard = self._hear(body, standing, Checkpoint.from_text(standing.note.text))
        return Message({"heard": heard})

    def _own(self, body: Message, round_index: int) -> list[bytes]:
        """Return what this site asks to find in the log, made from what it knows by itself.

        Raises:
            LedgerError: what it is shown is not what it knows.
        """
        shown = read_entry(bytes_of(body, "shown")) if "shown" in body.tensors else None
        if round_index == BEFORE:
            return self._opening(shown)
        if round_index == self._plan.rounds:
            return self._end(shown)
        return [*self._verdict(body, shown, round_index), *self._state(body, round_index)]

    def _state(self, body: Message, round_index: int) -> list[bytes]:
        """Return what the round led to, where the sites hold the state: not what the coordinator says it is."""
        if not self._plan.pipeline.opens_at_sites:
            return []
        said, known = body.fields.get("state"), self._held.state(round_index)
        if not DIGEST.allows(said) or known not in ("", said):
            raise LedgerError(f"site {self._site!r} holds another state after round {round_index} than is logged")
        return [AggregateDigest(round_index, str(said)).to_bytes()]

    def _verdict(self, body: Message, shown: Entry | None, round_index: int) -> list[bytes]:
        if shown is None:
            if self._contributions.any_of(round_index):
                raise LedgerError(f"site {self._site!r} sent an update in round {round_index}, and is shown no verdict")
            return []
        if not isinstance(shown, Verdict) or (shown.site, shown.round) != (self._site, round_index):
            raise LedgerError(f"site {self._site!r} is shown {shown.what} as its verdict of round {round_index}")
        if shown.verdict == FAILED:
            return [shown.to_bytes()]
        sent = self._contributions.of(round_index, number_of(body, "attempt"))
        if sent is None:
            raise LedgerError(f"site {self._site!r} is said to have sent an update in round {round_index}: it did not")
        if shown.verdict == ACCEPTED and sent.weight not in (None, shown.weight):
            raise LedgerError(
                f"site {self._site!r} is logged with weight {shown.weight:g} in round {round_index}, and has "
                f"{sent.weight:g}"
            )
        return sent.entries(shown)

    def _opening(self, shown: Entry | None) -> list[bytes]:
        run, keys = self._file.run, self._keyring.keys
        known = {site: identity.fingerprint for site, identity in keys.roster.items()}
        if not isinstance(shown, RunOpened) or (shown.run, shown.plan) != (run, self._plan.digest()):
            raise LedgerError(f"site {self._site!r} is shown the beginning of another run, or of another plan")
        if dict(shown.sites) != known or shown.log_key != self._log_key.to_text():
            raise LedgerError(f"site {self._site!r} knows this run's sites or its log by other keys than are logged")
        commitment = self._commitment(run)
        return [shown.to_bytes(), *([DataUseKey(self._site, commitment).to_bytes()] if commitment else [])]

    def _end(self, shown: Entry | None) -> list[bytes]:
        known = self._held.model_sha256()
        if not isinstance(shown, ModelFinal) or known not in ("", shown.digest):
            raise LedgerError(f"site {self._site!r} is not shown the model that the run ended with")
        return [shown.to_bytes()]

    def _hear(self, body: Message, standing: Standing, now: Checkpoint) -> int:
        """Compare what peers co-signed last with what this site did; return how many told it.

        Args:
            body: holds the last co-signed checkpoint, what leads from it to `now`, and the peers' boxes.
            standing: what this site signed last.
            now: the checkpoint to be signed, or the one that was signed last of all.

        Raises:
            LedgerError: there are two histories; or a peer is said to have signed and did not say so itself.
        """
        previous, roster = Note.from_bytes(bytes_of(body, "previous")), self._roster
        endorsed = roster.endorsement(previous)
        if endorsed.strangers:
            raise LedgerError(f"a checkpoint of this run is signed by {endorsed.strangers[0]!r}, who is not in it")
        before = endorsed.checkpoint
        self._require_history(standing, previous, before, now, _hashes(body))
        peers = [peer for peer in endorsed.signed if peer != self._site]
        for peer in peers:
            note = self._told_by(peer, body)
            # A peer that was asked before this site may have signed already what this site is asked to sign now.
            if note.text not in (previous.text, now.text):
                self._compare(previous, note, roster)
                raise LedgerError(f"{peer!r} told this site of another checkpoint than it is said to have signed")
        return len(peers)

    def _require_history(
        self, standing: Standing, previous: Note, before: Checkpoint, now: Checkpoint, proof: tuple[bytes, ...]
    ) -> None:
        witness = standing.witness
        if before.origin != witness.origin or before.size < witness.size:
            raise LedgerError(
                f"site {self._site!r} signed {witness.size} entries, and is shown {before.size} as the last co-signed"
            )
        if standing.note is not None and before.size == witness.size:
            self._compare(standing.note, previous, self._roster)
        verify_consistency(before.size, now.size, before.root, now.root, proof)

    def _told_by(self, peer: str, body: Message) -> Note:
        if f"box/{peer}" not in body.tensors:
            raise LedgerError(f"the checkpoint that {peer!r} signed did not come from {peer!r} itself")
        opened = self._keyring.keys.open_(peer, bytes_of(body, f"box/{peer}"), _SEALED)
        note, key = Note.from_bytes(opened), self._roster.cosigning[peer]
        if not any(key.holds(note.text, one) for one in note.signatures):
            raise LedgerError(f"the checkpoint that came from {peer!r} does not carry its signature")
        return note

    def _compare(self, mine: Note, theirs: Note, roster: Roster) -> None:
        fork = find_fork(mine, theirs)
        if fork is not None and fork.is_proved:
            self._file.accuse(fork)
            raise LedgerError(fork.sentence(roster))

    def _boxes(self, note: Note | None) -> dict[str, np.ndarray]:
        if note is None:
            return {}
        keys, told = self._keyring.keys, note.to_bytes()
        return {f"box/{peer}": tensor_of(keys.seal(peer, told, _SEALED)) for peer in keys.peers}

    @property
    def _log_key(self) -> Key:
        key = self._file.standing.witness.log_key
        if key is None:
            raise SiteError("this site was not told the key of the log")
        return key

    @property
    def _roster(self) -> Roster:
        return witnesses_among(self._keyring.keys.roster, self._log_key)


def _hashes(body: Message) -> tuple[bytes, ...]:
    proof = bytes_of(body, "since")
    return tuple(proof[start : start + HASH_BYTES] for start in range(0, len(proof), HASH_BYTES))
