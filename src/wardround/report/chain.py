"""The chain of rounds: what a run folder's ledger holds, and who co-signed it when."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wardround.errors import LedgerError, WireError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.log import Log
from wardround.ledger.note_keys import Key
from wardround.ledger.notes import MAX_NOTE_BYTES, Note
from wardround.ledger.quorum import Endorsement, Roster
from wardround.report.reading import Run
from wardround.report.words import count, listed, plural
from wardround.rounds.logbook.history import History, read_history
from wardround.rounds.logbook.identities import MAX_ROSTER_BYTES, read_identities, witnesses_among


@dataclass(frozen=True)
class Link:
    """One checkpoint of the chain.

    Attributes:
        when: ``opening``, ``round 3`` or ``end``.
        entries: number of entries under it.
        root: over them, its first 16 hexadecimal digits.
        signed: who co-signed, in words.
        final: whether these are enough.
        outlasting: how many sites also signed with ML-DSA-65, in words; empty if none.
    """

    when: str
    entries: str
    root: str
    signed: str
    final: bool
    outlasting: str


@dataclass(frozen=True)
class Chain:
    """What the report says of a ledger.

    Attributes:
        said: sentences, the first of them of the ledger as a whole.
        broken: whether the ledger is missing, cannot be read or does not hold.
        sites: those that co-sign; none where no site has keys for it.
        links: one for each co-signed checkpoint, in their order.
    """

    said: tuple[str, ...]
    broken: bool = False
    sites: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()


def chain_of(run: Run) -> Chain:
    """Read the ledger of a run folder; what is wrong with it is said on the page, which is made all the same."""
    folder = run.path / "ledger"
    if not folder.exists():
        return Chain(("This folder holds no ledger: nothing in it can be proved.",), broken=True)
    try:
        with Log(folder, read_only=True) as log:
            if not log.size:
                return Chain(("The ledger is empty: the run stopped before it began.",), broken=True)
            return _read(run, log, _note(folder / "checkpoint"))
    except LedgerError as error:
        # The page may be published, and is the same wherever the folder lies.
        return Chain((f"The ledger does not hold: {str(error).replace(f'{run.path}{os.sep}', '')}",), broken=True)
    except OSError as error:
        return Chain((f"The ledger cannot be read: {error.strerror}",), broken=True)


def _read(run: Run, log: Log, last: Note) -> Chain:
    history = read_history(log.entries())
    log_key = Key.from_text(history.opened.log_key)
    roster = _roster(run.path / "roster.json", history, log_key)
    notes = [entry.note for entry in history.cosigned.values()] + [last]
    for note in notes:
        _require(log, history, log_key, note)
    if roster is None:
        return Chain((_size(log), "Nobody co-signs it: in this run the sites have no keys for that."))
    endorsed = {found.checkpoint.size: found for found in map(roster.endorsement, notes)}
    names = _names(history, log.size)
    links = tuple(_link(names[size], endorsed[size]) for size in sorted(endorsed) if size in names)
    return Chain((_size(log), *_end(run, history, endorsed.get(log.size))), sites=tuple(roster.sites), links=links)


def _note(path: Path) -> Note:
    try:
        with path.open("rb") as file:
            return Note.from_bytes(file.read(MAX_NOTE_BYTES + 1))
    except FileNotFoundError:
        raise LedgerError("its last checkpoint is missing") from None


def _roster(path: Path, history: History, log_key: Key) -> Roster | None:
    """Return the sites' keys as the folder has them, if they are those that the first entry names."""
    logged = {site: known for site, known in history.opened.sites.items() if known}
    if not logged:
        return None
    try:
        with path.open("rb") as file:
            keys = read_identities(file.read(MAX_ROSTER_BYTES))
    except FileNotFoundError:
        raise LedgerError("roster.json, which holds the public keys of its sites, is missing") from None
    except WireError:
        raise LedgerError("roster.json does not hold the public keys of its sites") from None
    if {site: one.fingerprint for site, one in keys.items()} != logged:
        raise LedgerError("the keys in roster.json are not those that its first entry names")
    return witnesses_among(keys, log_key)


def _require(log: Log, history: History, log_key: Key, note: Note) -> None:
    found = Checkpoint.from_text(note.text)
    if found.run != history.opened.run or found.size > log.size or log.root(found.size) != found.root:
        raise LedgerError(f"a checkpoint of {found} is not of the entries that are there")
    if log_key not in note.verified([log_key]):
        raise LedgerError(f"a checkpoint of {found} is not signed by the coordinator")


def _names(history: History, size: int) -> Mapping[int, str]:
    """Return number of entries -> what ends there."""
    names = {len(history.opening): "opening"}
    names |= {end: f"round {index}" for index, end in enumerate(history.ends)}
    return names if history.closed is None else {**names, size: "end"}


def _link(when: str, found: Endorsement) -> Link:
    signed, missing, also = len(found.signed), found.missing, len(found.outlasting)
    sites, checkpoint = signed + len(missing), found.checkpoint
    return Link(
        when=when,
        entries=count(checkpoint.size),
        root=checkpoint.root.hex()[:16],
        signed=f"{signed} of {sites}, without {listed(missing, 4)}" if missing else f"all {sites} sites",
        final=found.is_final,
        outlasting="all" if also == sites else f"{also} of {sites}" if also else "",
    )


def _size(log: Log) -> str:
    return f"{count(log.size)} {'entry' if log.size == 1 else 'entries'} with root {log.root().hex()}."


def _end(run: Run, history: History, last: Endorsement | None) -> list[str]:
    """Say how the chain ends, and whether it went back."""
    said = []
    if history.rewinds:
        back = listed(map(str, history.rewinds))
        said.append(f"The run went back {plural(len(history.rewinds), 'time')}, and made it anew from round {back}.")
    if last is None and run.results is not None:
        raise LedgerError("its last entries are under no checkpoint, although the run has ended")
    if last is None:
        return [*said, "The last entries are under no checkpoint yet: --resume lets the sites sign them."]
    if history.closed is None:
        return [*said, "The run has not ended in it."]
    if last.is_final:
        said.append(f"Its end is final: {len(last.signed)} of {plural(len(history.opened.sites), 'site')} signed it.")
    else:
        said.append(f"Its end is not final: {listed(last.missing)} did not sign it, and more than two thirds must.")
    confirmed = run.results.confirmed if run.results else None
    if confirmed is None:
        return said
    silent = listed(sorted(set(last.signed) - set(confirmed)))
    unheard = f"The coordinator has no word of {silent} that the others signed the same end."
    heard = "As the coordinator says, each site that signed it heard from every other one that this is the end."
    return [*said, unheard if silent else heard]
