"""Parts of records: what a field can hold besides numbers, texts and hashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.merkle import leaf_hash, verify_inclusion
from wardround.ledger.note_keys import Key, Signature
from wardround.ledger.notes import Note
from wardround.ledger.records import HASH, WHOLE, Rule, listed

MAX_PROOF_HASHES = 128
"""More than any log with fewer than 2^63 entries needs."""


@dataclass(frozen=True)
class Place:
    """Where an entry lies in a log.

    Attributes:
        index: of the entry.
        proof: that it is there.
    """

    index: int
    proof: tuple[bytes, ...]

    def verify(self, entry: bytes, checkpoint: Checkpoint) -> None:
        """Check that `entry` lies there.

        Raises:
            LedgerError: it does not.
        """
        verify_inclusion(self.index, checkpoint.size, leaf_hash(entry), self.proof, checkpoint.root)


def _is_place(value: object) -> bool:
    return isinstance(value, Place) and WHOLE.allows(value.index) and PROOF.allows(value.proof)


def _read_place(value: Any) -> Place | None:
    return Place(value[0], PROOF.read(value[1])) if type(value) is list and len(value) == 2 else None


def _written(kind: type, write: Callable[[Any], str], read: Callable[[str], Any], says: str) -> Rule:
    """Return the rule of what is written as a text of its own."""
    return Rule(
        says,
        lambda value: isinstance(value, kind),
        write,
        lambda value: read(value) if isinstance(value, str) else None,
    )


PROOF = listed(HASH, MAX_PROOF_HASHES)
PLACE = Rule("an index and a proof", _is_place, lambda place: [place.index, PROOF.write(place.proof)], _read_place)
CHECKPOINT = _written(Checkpoint, lambda value: value.text, Checkpoint.from_text, "a checkpoint")
SIGNATURE = _written(Signature, lambda value: value.line, Signature.from_line, "a signature line")
KEY = _written(Key, Key.to_text, Key.from_text, "a verifier key")
NOTE = _written(
    Note,
    lambda value: value.to_bytes().decode(),
    lambda value: Note.from_bytes(value.encode("utf-8", "surrogatepass")),
    "a signed note",
)
