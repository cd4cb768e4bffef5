"""Signed notes: a text, and lines in which keys sign it (c2sp.org/signed-note)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wardround.errors import LedgerError
from wardround.ledger.note_keys import Key, Signature

MAX_NOTE_BYTES = 2**21
MAX_SIGNATURES = 1024


@dataclass(frozen=True)
class Note:
    """A text with at least one signature. Until a key that is known has verified it, it says nothing.

    What is stricter here than in signed-note: one key, told by name and key ID, has one line in a note.

    Attributes:
        text: one or more lines, with the last newline; may hold empty ones.
        signatures: the lines, in their order.
    """

    text: str
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        require_text(self.text)
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise LedgerError(f"a signed note has 1 to {MAX_SIGNATURES} signatures, not {len(self.signatures)}")
        seen = set()
        for signature in self.signatures:
            place = (signature.name, signature.key_id)
            if place in seen:
                raise LedgerError(f"a signed note has two signatures by one key of {signature.name!r}")
            seen.add(place)

    def to_bytes(self) -> bytes:
        """Write the note.

        Raises:
            LedgerError: it is longer than `MAX_NOTE_BYTES`.
        """
        data = "".join((self.text, "\n", *(signature.line for signature in self.signatures))).encode()
        if len(data) > MAX_NOTE_BYTES:
            raise LedgerError(f"a signed note of {len(data)} bytes exceeds the limit of {MAX_NOTE_BYTES}")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Note:
        """Read what `to_bytes` wrote; signatures are taken apart and not verified.

        Raises:
            LedgerError: it is no signed note.
        """
        if len(data) > MAX_NOTE_BYTES:
            raise LedgerError(f"a signed note of {len(data)} bytes exceeds the limit of {MAX_NOTE_BYTES}")
        try:
            whole = bytes(data).decode()
        except UnicodeDecodeError:
            raise LedgerError("a signed note is not UTF-8") from None
        text, blank, lines = whole.rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise LedgerError("a signed note has no signatures after an empty line, or is cut short")
        signatures = lines[:-1].split("\n", MAX_SIGNATURES)
        return cls(text + "\n", tuple(Signature.from_line(line + "\n") for line in signatures))

    def signed(self, more: Iterable[Signature]) -> Note:
        """Return the note with `more` signatures, all in the order of names and keys, whatever order they came in."""
        every = {(one.name, one.key_id, one.value): one for one in (*self.signatures, *more)}
        return Note(self.text, tuple(every[place] for place in sorted(every)))

    def verified(self, keys: Sequence[Key]) -> tuple[Key, ...]:
        """Return those of `keys` that signed the note.

        Signatures by other keys are passed over; `strangers` names them.

        Raises:
            LedgerError: a signature in the name of one of `keys` is not by it.
        """
        known = {(key.name, key.key_id): key for key in keys}
        signed = []
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is None:
                continue
            if not key.holds(self.text, signature):
                raise LedgerError(
                    f"the {key.scheme.title} of {key.name!r} does not fit what it stands under: "
                    "the text or the signature was changed"
                )
            signed.append(key)
        return tuple(signed)

    def strangers(self, keys: Sequence[Key]) -> tuple[str, ...]:
        """Return the names in signature lines that belong to none of `keys`."""
        known = {(key.name, key.key_id) for key in keys}
        return tuple(one.name for one in self.signatures if (one.name, one.key_id) not in known)


def require_text(text: str) -> None:
    """Refuse what cannot be the text of a note.

    Raises:
        LedgerError: it does not end in a newline, or holds another control character.
    """
    if not text.endswith("\n"):
        raise LedgerError("the text of a signed note does not end in a newline")
    if any(letter < " " and letter != "\n" for letter in text):
        raise LedgerError("the text of a signed note holds a control character")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise LedgerError("the text of a signed note holds a character that UTF-8 does not have")
