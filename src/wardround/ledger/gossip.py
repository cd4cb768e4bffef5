"""Sites compare what each of them was shown; two histories of one run are evidence against who showed them.

A coordinator that forks the log cannot let a site of the one half co-sign for the other half: the site remembers
(`wardround.ledger.cosign`). What is left to it is to keep the halves apart, and that ends with the first checkpoint
that an honest site of the one half sends to an honest site of the other, sealed so that the coordinator cannot change
it. It can hold such messages back; hence a round whose checkpoints did not arrive from every site is not final.

A single dishonest site can raise the alarm with a checkpoint that it made up. It cannot pin it on others: the sentence
names who signed which history, and such a checkpoint bears that site's signature alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from wardround.errors import LedgerError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.merkle import verify_consistency
from wardround.ledger.notes import MAX_NOTE_BYTES, Note
from wardround.ledger.parts import NOTE, PROOF
from wardround.ledger.quorum import Roster
from wardround.ledger.records import HASH, Record, optional

COORDINATOR = "the coordinator"


@dataclass(frozen=True)
class Fork(Record):
    """Two signed checkpoints of one log that do not go together, ready to be kept in a file.

    Two checkpoints of one size with different roots speak for themselves. With two sizes, nobody can show that there
    is *no* proof of consistency; but whoever has the longer log can show what its beginning really is: `prefix` is the
    root over its first entries, as many as the shorter one has, with a proof that it is. Without `prefix` the two
    notes are an open question to the coordinator, which `answer` closes: a log that was not forked has the proof.

    Attributes:
        first: the shorter log; of two of one length the one with the smaller root.
        second: the other.
        prefix: root over the beginning of the log of `second`.
        proof: that the log of `second` begins with `prefix`.
    """

    kind: ClassVar[str] = "fork"
    what: ClassVar[str] = "evidence of a fork"
    max_bytes: ClassVar[int] = 3 * MAX_NOTE_BYTES

    first: Annotated[Note, NOTE]
    second: Annotated[Note, NOTE]
    prefix: Annotated[bytes | None, optional(HASH)]
    proof: Annotated[tuple[bytes, ...], PROOF]

    def require(self) -> None:
        """Refuse two notes that can be of one history, and a prefix that is none."""
        first, second = self.checkpoints
        if first.origin != second.origin:
            raise LedgerError(f"{self.what} is of two logs, {first.origin!r} and {second.origin!r}")
        if first.size == 0 or (first.size, first.root) >= (second.size, second.root):
            raise LedgerError(f"{self.what} holds an empty log, one log twice, or two in the wrong order")
        if self.prefix is None:
            if self.proof:
                raise LedgerError(f"{self.what} has a proof of nothing")
            return
        if first.size == second.size:
            raise LedgerError(f"{self.what} has a proof that it does not need")
        verify_consistency(first.size, second.size, self.prefix, second.root, self.proof)
        if self.prefix == first.root:
            raise LedgerError(f"{self.what} is none: {second} go on from {first}")

    @classmethod
    def between(cls, one: Note, other: Note, prefix: bytes | None = None, proof: Sequence[bytes] = ()) -> Fork:
        """Put two notes in their order.

        Raises:
            LedgerError: they are of two logs, or can be of one history.
        """
        first, second = sorted((one, other), key=lambda note: _place(Checkpoint.from_text(note.text)))
        return cls(first, second, prefix, tuple(proof))

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, Checkpoint]:
        """What `first` and `second` say."""
        return Checkpoint.from_text(self.first.text), Checkpoint.from_text(self.second.text)

    @property
    def is_proved(self) -> bool:
        """Whether the two are shown not to go together; else one of them is still to be shown to continue the other."""
        first, second = self.checkpoints
        return first.size == second.size or self.prefix is not None

    def answer(self, proof: Sequence[bytes]) -> bool:
        """Whether `proof` shows that the two are of one history after all."""
        first, second = self.checkpoints
        try:
            verify_consistency(first.size, second.size, first.root, second.root, proof)
        except LedgerError:
            return False
        return True

    def accused(self, roster: Roster) -> tuple[str, ...]:
        """Return who signed both, sorted: sites, and `COORDINATOR`.

        Once the fork is proved, each of them is dishonest, or a site that lost its memory of what it had signed.

        Raises:
            LedgerError: a signature does not fit.
        """
        return tuple(sorted(set(signers(self.first, roster)) & set(signers(self.second, roster))))

    def sentence(self, roster: Roster) -> str:
        """Say what does not go together, and who signed it.

        Raises:
            LedgerError: a signature does not fit.
        """
        first, second = self.checkpoints
        both = self.accused(roster)
        return (
            f"there are two histories of {first.origin}: {first}, signed by {_list(signers(self.first, roster))}, and "
            f"{second}, signed by {_list(signers(self.second, roster))}; signed by {_list(both)} on both sides: "
            "keep both checkpoints and stop the run"
        )


def find_fork(mine: Note, theirs: Note, proof: Sequence[bytes] = ()) -> Fork | None:
    """Return the fork between two checkpoints, or ``None`` if one continues the other.

    Args:
        mine: the checkpoint that a site signed last.
        theirs: the one that another site signed last.
        proof: of consistency between the two, from whoever has it; empty if they are of one size.

    Raises:
        LedgerError: they are no checkpoints, or not of one log.
    """
    one, other = Checkpoint.from_text(mine.text), Checkpoint.from_text(theirs.text)
    if one.origin != other.origin:
        raise LedgerError(f"a checkpoint of {other.origin!r} cannot be compared with one of {one.origin!r}")
    if _place(one) == _place(other) or 0 in (one.size, other.size):
        return None
    fork = Fork.between(mine, theirs)
    return None if fork.answer(proof) else fork


def compare(mine: Note, theirs: Note, proof: Sequence[bytes], roster: Roster) -> None:
    """Check that two sites were shown one history.

    Args:
        mine: the checkpoint that this site signed last.
        theirs: the one that a peer signed last, as it arrived from the peer.
        proof: of consistency between the two; empty if they are of one size.
        roster: the keys of all sites.

    Raises:
        LedgerError: there are two histories, which the sentence names with their signers; or one of the notes is no
            checkpoint of this run, or is signed by nobody in the roster.
    """
    for note in (mine, theirs):
        signers(note, roster)
    fork = find_fork(mine, theirs, proof)
    if fork is not None:
        raise LedgerError(fork.sentence(roster))


def signers(note: Note, roster: Roster) -> tuple[str, ...]:
    """Return who signed a checkpoint, with whatever key: sites, sorted, and `COORDINATOR`.

    Raises:
        LedgerError: a signature does not fit, or there is none by a key of the roster.
    """
    found = roster.endorsement(note)
    names = sorted({*found.signed, *found.outlasting}) + [COORDINATOR] * found.by_coordinator
    if not names:
        raise LedgerError(f"a checkpoint of {found.checkpoint} is signed by nobody in the roster")
    return tuple(names)


def _place(checkpoint: Checkpoint) -> tuple[int, bytes]:
    return checkpoint.size, checkpoint.root


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"
