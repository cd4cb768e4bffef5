"""Asks the sites to co-sign a checkpoint, and carries to each what the others sealed for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wardround.core.codec import Message
from wardround.core.update import Tensors
from wardround.errors import LedgerError, WireError
from wardround.fabric.base import Answer, Fabric
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.cosign import Offer
from wardround.ledger.entries import AggregateDigest, Entry
from wardround.ledger.log import Log
from wardround.ledger.note_keys import Key, Signature
from wardround.ledger.notes import Note
from wardround.ledger.parts import Place
from wardround.ledger.records import DIGEST, MAX_WHOLE
from wardround.rounds.logbook.identities import witnesses_among
from wardround.rounds.logbook.lines import verdict_in
from wardround.rounds.metered import Metered
from wardround.rounds.roster import Roster
from wardround.rounds.wire import bytes_of, number_of, tensor_of


@dataclass(frozen=True)
class Turn:
    """One checkpoint to be co-signed.

    Attributes:
        round: the round that it ends; `BEFORE` for the opening, the plan's number of rounds for the end.
        shown: site -> the entries that it asks for.
        attempts: site -> the attempt in which its update was summed.
        outlasting: whether the sites also sign with ML-DSA-65.
        state: what the round led to, which every site asks for last; ``None`` where the coordinator alone knows.
    """

    round: int
    shown: Mapping[str, Sequence[Entry]]
    attempts: Mapping[str, int] = field(default_factory=dict)
    outlasting: bool = False
    state: AggregateDigest | None = None

    def shown_to(self, site: str) -> list[Entry]:
        """Return the entries whose places a site is shown."""
        return [*self.shown.get(site, ()), *([self.state] if self.state is not None else [])]


class Cosigning:
    """The sites of one run as witnesses. One that does not sign holds nothing up: it is named in `events`.

    Attributes:
        fabric: carries the calls, and counts their bytes.
        witnesses: the keys of the sites and of the log.
        events: what went wrong, in words.
    """

    def __init__(self, fabric: Fabric, roster: Roster, log: Log, log_key: Key, timeout_s: float | None) -> None:
        """Ask the sites of `roster` about `log`, whose checkpoints `log_key` signs."""
        self.fabric = Metered(fabric)
        self.witnesses = witnesses_among(roster.identities, log_key)
        self.events: list[str] = []
        self._log = log
        self._timeout_s = timeout_s
        self._sizes: dict[str, int] = {}
        self._boxes: dict[str, Tensors] = {}
        self._lost: set[str] = set()
        self._joining = Message()

    def join(self, run: bytes, log_key: Key) -> dict[str, str]:
        """Tell the sites which log this is.

        Returns:
            Site -> its commitment to the key of its list of images, for those that keep one.
        """
        self._joining = Message({"run": run.hex(), "log_key": log_key.to_text()})
        return self._join(self.fabric.sites())

    def _join(self, sites: Sequence[str]) -> dict[str, str]:
        commitments = {}
        for answer in self.fabric.gather(sites, "witness", self._joining, self._timeout_s):
            try:
                message = _message_of(answer)
                size, commitment = number_of(message, "size", MAX_WHOLE), message.fields.get("commitment")
                if commitment != "" and not DIGEST.allows(commitment):
                    raise WireError("its commitment to a data-use key is none")
            except WireError as error:
                self.events.append(f"site {answer.site} does not witness this run: {error}")
                self._lost.add(answer.site)
                continue
            self._lost.discard(answer.site)
            self._sizes[answer.site], self._boxes[answer.site] = size, message.tensors
            if commitment:
                commitments[answer.site] = commitment
        return commitments

    def sign(self, turn: Turn, note: Note, last: Note | None) -> list[Signature]:
        """Let the sites sign the log as it is.

        Args:
            turn: what is signed.
            note: the checkpoint, signed by the log.
            last: the co-signed checkpoint before it.

        Returns:
            The signatures that hold.
        """
        checkpoint, places = Checkpoint.from_text(note.text), self._places(turn)
        if self._lost:  # what such a site signed last, only it knows
            self._join(sorted(self._lost))
        able = [site for site, size in self._sizes.items() if size <= checkpoint.size]
        asked = sorted(set(able) - self._lost)
        bodies = {site: self._body(site, turn, checkpoint, note, last, places) for site in asked}
        found, boxes = list[Signature](), dict[str, Tensors]()
        for answer in self.fabric.gather(asked, "cosign", bodies, self._timeout_s):
            try:
                message = _message_of(answer)
                found += self._signatures(answer.site, checkpoint, message)
            except (WireError, LedgerError) as error:
                self.events.append(f"site {answer.site} did not co-sign {checkpoint}: {error}")
                self._lost.add(answer.site)
                continue
            self._sizes[answer.site], boxes[answer.site] = checkpoint.size, message.tensors
        self._boxes = boxes
        return found

    def confirm(self, last: Note) -> tuple[str, ...]:
        """Let the sites hear each other's last signature; return those that heard all of them, sorted."""
        asked = sorted(self._boxes)
        bodies = {site: Message({}, self._heard_by(site, last)) for site in asked}
        confirmed = []
        for answer in self.fabric.gather(asked, "heard", bodies, self._timeout_s):
            if answer.message is None:
                self.events.append(f"site {answer.site} does not confirm the last checkpoint: {answer.failure}")
            else:
                confirmed.append(answer.site)
        return tuple(sorted(confirmed))

    def _signatures(self, site: str, checkpoint: Checkpoint, message: Message) -> list[Signature]:
        keys = (self.witnesses.cosigning[site], self.witnesses.outlasting[site])
        try:
            lines = bytes_of(message, "signatures").decode().splitlines(keepends=True)
        except UnicodeDecodeError:
            lines = []
        found = [Signature.from_line(line) for line in lines[: len(keys) + 1]]
        held = [any(key.holds(checkpoint.text, one) for key in keys) for one in found]
        if not 1 <= len(found) <= len(keys) or not all(held) or len({one.key_id for one in found}) < len(found):
            raise WireError("what it sent is not its signature of this checkpoint")
        return found

    def _places(self, turn: Turn) -> dict[bytes, int]:
        """Return entry -> its index, for all that is shown in this turn; they lie near the end of the log."""
        wanted = {entry.to_bytes() for site in self._sizes for entry in turn.shown_to(site)}
        found: dict[bytes, int] = {}
        index = self._log.size
        while len(found) < len(wanted) and index:
            index -= 1
            entry = next(self._log.entries(index, index + 1))
            if entry in wanted:
                found.setdefault(entry, index)
        return found

    def _body(
        self,
        site: str,
        turn: Turn,
        checkpoint: Checkpoint,
        note: Note,
        last: Note | None,
        places: Mapping[bytes, int],
    ) -> Message:
        own, size = turn.shown_to(site), self._sizes[site]
        indices = [places[entry.to_bytes()] for entry in own]
        offer = Offer(
            checkpoint,
            note.signatures[0],
            self._log.consistency(size) if size else (),
            tuple(Place(index, self._log.inclusion(index)) for index in indices),
        )
        fields: dict[str, object] = {
            "turn": turn.round + 1,
            "attempt": turn.attempts.get(site, 0),
            "outlasting": turn.outlasting,
        }
        tensors = {"offer": tensor_of(offer.to_bytes())}
        if last is not None:
            tensors |= self._heard_by(site, last)
        if turn.state is not None:
            fields["state"] = turn.state.digest
        main = verdict_in(own) or next(iter(turn.shown.get(site, ())), None)
        if main is not None:
            tensors["shown"] = tensor_of(main.to_bytes())
        return Message(fields, tensors)

    def _heard_by(self, site: str, last: Note) -> Tensors:
        """Return the last co-signed checkpoint, what leads from it to the log as it is, and what peers sealed."""
        outlasting = {key.key_id for key in self.witnesses.outlasting.values()}
        # ML-DSA-65 signatures are for verifiers to come, and long.
        brief = Note(last.text, tuple(one for one in last.signatures if one.key_id not in outlasting))
        since = self._log.consistency(Checkpoint.from_text(last.text).size)
        boxes = {f"box/{peer}": told[f"box/{site}"] for peer, told in self._boxes.items() if f"box/{site}" in told}
        return {"previous": tensor_of(brief.to_bytes()), "since": tensor_of(b"".join(since)), **boxes}


def _message_of(answer: Answer) -> Message:
    if answer.message is None:
        raise WireError(answer.failure or "it gave no answer")
    return answer.message
