"""What a site as a witness must never forget of one run: in its vault, whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wardround.core.files import write_atomically
from wardround.errors import LedgerError
from wardround.ledger.checkpoint import run_origin
from wardround.ledger.cosign import Witness
from wardround.ledger.gossip import Fork
from wardround.ledger.note_keys import Key
from wardround.ledger.notes import Note
from wardround.rounds.keyring import Keyring

SIGNED = "signed-checkpoint"
"""The file in a site's store with the checkpoint that it signed last: catches a ledger that was rolled back."""

_LAST_RUN = "ledger-run"


@dataclass(frozen=True)
class Standing:
    """Where a site stands in the ledger of a run.

    Attributes:
        witness: the log that it signed last.
        note: that checkpoint with the coordinator's signature and this site's own; ``None`` before the first.
    """

    witness: Witness
    note: Note | None = None

    @property
    def run(self) -> str:
        """Name of the run, 64 hexadecimal digits."""
        return self.witness.origin.rpartition("/")[2]

    def to_bytes(self) -> bytes:
        """Write it for the vault."""
        return self.witness.to_bytes() + b"\n" + (self.note.to_bytes() if self.note else b"")

    @classmethod
    def from_bytes(cls, data: bytes) -> Standing:
        """Read what `to_bytes` wrote.

        Raises:
            LedgerError: it is something else.
        """
        witness, _, note = data.partition(b"\n")
        return cls(Witness.from_bytes(witness), Note.from_bytes(note) if note else None)


class StandingFile:
    """The standing of a site in the run that it joined last, and evidence against that run's coordinator."""

    def __init__(self, site: str, keyring: Keyring, folder: Path) -> None:
        """Read it from the vault when it is first needed; a copy of the checkpoint lies in `folder`, for auditors."""
        self._site = site
        self._keyring = keyring
        self._folder = folder
        self._held: Standing | None = None

    def join(self, run: str, log_key: Key) -> Standing:
        """Begin to witness a run, or go on with it.

        Raises:
            LedgerError: this site agreed on the keys of another run and never witnessed this one, or it knows the log
                by another key.
        """
        keyring, origin = self._keyring, run_origin(bytes.fromhex(run))
        names = self._names(run)
        if names:
            held = Standing.from_bytes(keyring.vault.read(names[-1]))
            if held.witness.log_key != log_key:
                raise LedgerError(f"site {self._site!r} knows the log of run {run[:16]}… by another key")
        elif run != keyring.keys.run_id.hex():
            raise LedgerError(
                f"site {self._site!r} agreed on the keys of another run than {run[:16]}…, and remembers none of its log"
            )
        else:
            held = Standing(Witness.new(self._site, origin, log_key))
            self.keep(held)
        keyring.keep(_LAST_RUN, run.encode())
        self._held = held
        return held

    @property
    def run(self) -> str:
        """Name of the run that this site witnesses; empty before it joined one."""
        if self._held is None and self._keyring.vault.holds(_LAST_RUN):
            run = self._keyring.vault.read(_LAST_RUN).decode()
            self._held = Standing.from_bytes(self._keyring.vault.read(self._names(run)[-1]))
        return "" if self._held is None else self._held.run

    @property
    def standing(self) -> Standing:
        """Where this site stands.

        Raises:
            LedgerError: it joined no run, or holds evidence that its log was forked.
        """
        if not self.run or self._held is None:
            raise LedgerError(f"site {self._site!r} was not told of the ledger of a run")
        if self._keyring.vault.holds(_evidence(self.run)):
            raise LedgerError(
                f"site {self._site!r} signs nothing more in run {self.run[:16]}…: it holds evidence of two histories"
            )
        return self._held

    def keep(self, standing: Standing) -> None:
        """Keep it, before a signature leaves this site."""
        self._held = None
        older, newest = self._names(standing.run), _name(standing)
        # A name of its own: renaming over a file makes the file system flush, which takes longer than all the rest.
        self._keyring.keep(newest, standing.to_bytes())
        for name in older:
            if name != newest:
                self._keyring.vault.forget(name)
        if standing.note is not None:
            (self._folder / SIGNED).unlink(missing_ok=True)
            write_atomically(self._folder / SIGNED, standing.note.to_bytes(), sync=False)
        self._held = standing

    def _names(self, run: str) -> list[str]:
        """Return under which names the vault holds this site's standing in a run, the newest last."""
        return [name for name in self._keyring.vault.names() if name.startswith(_prefix(run))]

    def accuse(self, fork: Fork) -> None:
        """Keep the evidence of a fork; after this the site signs nothing more in this run."""
        self._keyring.keep(_evidence(self.run), fork.to_bytes())


def _prefix(run: str) -> str:
    return f"ledger-at-{run[:16]}-"


def _name(standing: Standing) -> str:
    return f"{_prefix(standing.run)}{standing.witness.size:012d}"


def _evidence(run: str) -> str:
    return f"ledger-fork-{run[:16]}"
