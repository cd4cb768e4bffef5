"""Verifies a run folder against its ledger: offline, in any process, trusting nothing that lies in the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wardround.errors import InputError, LedgerError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.entries import ModelFinal
from wardround.ledger.log import Log
from wardround.ledger.note_keys import Key
from wardround.ledger.notes import MAX_NOTE_BYTES, Note
from wardround.ledger.quorum import Endorsement, Roster
from wardround.rounds.logbook.history import History, read_history
from wardround.rounds.logbook.lines import lines_of
from wardround.rounds.model_file import MODEL_FILE
from wardround.study.folder import CHECKPOINT, LEDGER, RunFolder
from wardround.study.witnesses import ROSTER, witnesses_of


@dataclass(frozen=True)
class Audit:
    """What a verifier knows of a run after all its proofs held.

    Attributes:
        history: what the ledger tells.
        checkpoint: the last one.
        endorsed: number of entries -> who stands behind the checkpoint over them; empty where sites have no keys.
        by_known_keys: whether the verifier knew the keys; else the ledger only agrees with itself.
        older: the checkpoint that the verifier brought along, which the ledger continues.
        remarks: what is missing without being wrong.
    """

    history: History
    checkpoint: Checkpoint
    endorsed: Mapping[int, Endorsement]
    by_known_keys: bool
    older: Checkpoint | None
    remarks: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Say in one sentence what holds."""
        run = f"run {self.history.opened.run[:16]}…: {len(self.history.rounds)} rounds in {self.checkpoint}"
        since = f", which continue the {self.older.size} entries of the checkpoint given" if self.older else ""
        last = self.endorsed.get(self.checkpoint.size)
        if last is None:
            return f"internally consistent only, since no site co-signs: {run}{since}"
        signed = f"co-signed by {', '.join(last.signed) or 'nobody'}" + (
            "" if last.is_final else ", which is not final"
        )
        held = "verified" if self.by_known_keys else "internally consistent only, since no keys were given"
        return f"{held}: {run}{since}, {signed}"


def audit(run: Path, keys: Path | None = None, checkpoint: Path | None = None) -> Audit:
    """Verify a run folder.

    Args:
        run: the folder.
        keys: a site's ``trust.toml``, or a ``roster.json`` that the verifier kept: whose signatures count. Without it
            the ledger can only be held against itself, and who rewrote all of it is not caught.
        checkpoint: an earlier checkpoint, exported or from a site's store: the ledger has to continue it.

    Raises:
        LedgerError: something was changed, cut off or made up; the sentence names it.
        InputError: a file of the folder cannot be read.
    """
    folder = RunFolder(run)
    with Log(run / LEDGER, read_only=True) as log:
        history = read_history(log.entries())
        roster = witnesses_of(history.opened, run / ROSTER, keys)
        last, note = _last(run / LEDGER / CHECKPOINT, log, history, roster)
        endorsed = {last.size: roster.endorsement(note)} if roster else {}
        endorsed |= _earlier(log, history, roster)
        older = _continued(log, roster, checkpoint) if checkpoint else None
        unsigned = log.size - last.size
    remarks = [f"the last {unsigned} entries are under no checkpoint yet: --resume lets the sites sign them"][:unsigned]
    remarks += [f"the run went back to round {index} once, and made it anew" for index in history.rewinds]
    remarks += _compare(folder, history)
    return Audit(history, last, endorsed, keys is not None, older, tuple(remarks))


def read_note(path: Path) -> Note:
    """Read a signed checkpoint.

    Raises:
        LedgerError: the file is missing or is none.
    """
    try:
        with path.open("rb") as file:
            return Note.from_bytes(file.read(MAX_NOTE_BYTES + 1))
    except OSError as error:
        raise LedgerError(f"{path} cannot be read ({error.strerror}): it holds the ledger's checkpoint") from None
    except LedgerError as error:
        raise LedgerError(f"{path} was changed: {error}") from None


def _last(path: Path, log: Log, history: History, roster: Roster | None) -> tuple[Checkpoint, Note]:
    note = read_note(path)
    try:
        found = _verified(note, log, history, roster)
    except LedgerError as error:
        raise LedgerError(f"{path} was changed, or is not of this ledger: {error}") from None
    if history.closed is not None and found.size < log.size:
        raise LedgerError(
            f"the entries from {found.size} on were added behind the last checkpoint, and nobody signed them"
        )
    return found, note


def _earlier(log: Log, history: History, roster: Roster | None) -> dict[int, Endorsement]:
    endorsed = {}
    for index, entry in history.cosigned.items():
        try:
            found = _verified(entry.note, log, history, roster)
            if found.size != index:
                raise LedgerError("it is of another place in the ledger")
        except LedgerError as error:
            raise LedgerError(f"entry {index} of the ledger, a co-signed checkpoint, does not hold: {error}") from None
        if roster:
            endorsed[found.size] = roster.endorsement(entry.note)
    return endorsed


def _verified(note: Note, log: Log, history: History, roster: Roster | None) -> Checkpoint:
    """Return the checkpoint in a note that is of this log and signed by this run's keys alone."""
    found = Checkpoint.from_text(note.text)
    if found.run != history.opened.run:
        raise LedgerError(f"it is of run {found.run[:16]}…")
    if found.size > log.size:
        raise LedgerError(f"it is of {found.size} entries, and the ledger was cut to {log.size}")
    if log.root(found.size) != found.root:
        raise LedgerError(f"the first {found.size} entries of the ledger are not those that were signed")
    log_key = Key.from_text(history.opened.log_key)
    keys = roster.keys if roster else (log_key,)
    if log_key not in note.verified(keys):
        raise LedgerError("the coordinator's signature is missing")
    for stranger in note.strangers(keys):
        raise LedgerError(f"it carries a signature of {stranger!r} by a key that is not of this run")
    return found


def _continued(log: Log, roster: Roster | None, path: Path) -> Checkpoint:
    note = read_note(path)
    older = Checkpoint.from_text(note.text)
    if roster is not None:
        roster.endorsement(note)  # a signature in the name of one of these sites must be by it
    if older.size > log.size:
        raise LedgerError(f"the ledger was rolled back: {path} is of {older.size} entries, and {log.size} are left")
    if log.root(older.size) != older.root:
        raise LedgerError(f"the ledger was rewritten: its first {older.size} entries are not those of {path}")
    return older


def _compare(folder: RunFolder, history: History) -> list[str]:
    """Hold the other files of the run folder against the ledger; return what is missing."""
    if folder.plan().digest() != history.opened.plan:
        raise LedgerError(f"{folder.plan_file} was changed: it is not the plan that the ledger was opened for")
    records = folder.records()
    for record, logged in zip(records, history.rounds, strict=False):
        try:
            lines = lines_of(record)
        except (LedgerError, KeyError, TypeError) as error:
            raise LedgerError(f"round {record.round} in rounds.jsonl was changed: {error}") from None
        for found, kept in zip(lines, logged, strict=False):
            if found != kept:
                raise LedgerError(
                    f"round {record.round} in rounds.jsonl was changed: it does not say what {kept.what} in the ledger "
                    "says"
                )
        if len(lines) != len(logged):
            raise LedgerError(f"round {record.round} in rounds.jsonl was changed: a site is missing or was added")
    if len(records) < len(history.rounds):
        raise LedgerError(f"rounds.jsonl was cut: the ledger tells of {len(history.rounds)} rounds, not {len(records)}")
    remarks = []
    if len(records) > len(history.rounds):
        if history.closed is not None:
            raise LedgerError(f"rounds.jsonl tells of {len(records)} rounds, the ledger of {len(history.rounds)}")
        remarks.append(f"round {len(records) - 1} is not in the ledger yet: --resume writes it")
    return remarks + _compare_end(folder, history.closed)


def _compare_end(folder: RunFolder, closed: ModelFinal | None) -> list[str]:
    if closed is None:
        return ["the run has not ended: there is no model to verify"]
    if not folder.is_done():
        return ["the run ended in the ledger, and its summary is missing: finish it with --resume"]
    if folder.summary().get("model_sha256") != closed.digest:
        raise LedgerError("summary.json was changed: its model is not the one that the ledger ends with")
    path = folder.path / MODEL_FILE
    if not path.exists():
        return [f"{MODEL_FILE} is not in the run folder; it lies at the sites, and has SHA-256 {closed.digest}"]
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if found != closed.digest:
        raise LedgerError(f"{path} was changed: it is not the model that the run ended with")
    return []
