"""The coordinator's side of a run's ledger: writes what happened, and lets the sites co-sign it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.core.versions import versions
from wardround.errors import RunError
from wardround.fabric.base import Fabric
from wardround.ledger.checkpoint import Checkpoint, run_origin
from wardround.ledger.cosign import Signer
from wardround.ledger.entries import Cosigned, DataUseKey, Entry, ModelFinal, Rewound, RunOpened
from wardround.ledger.log import Log
from wardround.ledger.note_keys import ED25519, Key
from wardround.ledger.notes import Note
from wardround.ledger.quorum import Endorsement
from wardround.rounds.logbook.cosigning import Cosigning, Turn
from wardround.rounds.logbook.history import History, read_history
from wardround.rounds.logbook.lines import BEFORE, aggregate_in, attempts_in, lines_of, shown
from wardround.rounds.plan import Plan
from wardround.rounds.record import Journal, RoundRecord
from wardround.rounds.roster import Roster


@dataclass(frozen=True)
class LedgerEnd:
    """What became of a run's ledger.

    Attributes:
        run: name of the run, 64 hexadecimal digits.
        size: number of entries.
        root: over them, 64 hexadecimal digits.
        cosigned: sites that signed the last checkpoint, sorted.
        final: whether they are enough to make it final.
        confirmed: sites that heard the last checkpoint from every peer that signed it, sorted.
        events: what went wrong at the end, in words.
        bytes_down: bytes that co-signing took to the sites.
        bytes_up: bytes that it took from them.
    """

    run: str
    size: int
    root: str
    cosigned: tuple[str, ...] = ()
    final: bool = False
    confirmed: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    bytes_down: int = 0
    bytes_up: int = 0


class Keeper:
    """Keeps the ledger of one run."""

    def __init__(self, plan: Plan, journal: Journal, fabric: Fabric, roster: Roster | None, log: Log) -> None:
        """Keep the ledger of a run of `plan` in `log`.

        Args:
            plan: of the run.
            journal: keeps the last checkpoint, and the secret of the log's key.
            fabric: carries the calls.
            roster: who the sites are, where they have keys.
            log: of the run, open for writing.
        """
        self._plan = plan
        self._journal = journal
        self._fabric = fabric
        self._roster = roster if plan.cosigned else None
        self._log = log
        self._private = Ed25519PrivateKey.from_private_bytes(journal.log_seed())
        self._note: Note | None = None
        self._cosigning: Cosigning | None = None
        self._run = b""

    def open(self, run: bytes, records: Sequence[RoundRecord]) -> None:
        """Begin the ledger, or go on with it where a coordinator was stopped.

        Args:
            run: 32 bytes that name the run; the name that the ledger has already counts more.
            records: the completed rounds.

        Raises:
            RunError: the ledger is of other keys, or says something else of the completed rounds.
            LedgerError: it is damaged.
        """
        history = read_history(self._log.entries()) if self._log.size else None
        self._run = bytes.fromhex(history.opened.run) if history else run
        commitments = self._joined()
        if history is None:
            opened = RunOpened(
                self._run.hex(), self._plan.digest(), versions(), self._fingerprints, self._signer.key.to_text()
            )
            self._append([opened, *(DataUseKey(site, commitments[site]) for site in sorted(commitments))])
            in_ledger = 0
        else:
            in_ledger = self._go_on(history, records)
        note = self._journal.checkpoint()
        self._note = Note.from_bytes(note) if note else None
        signed = Checkpoint.from_text(self._note.text).size if self._note else 0
        if signed < self._log.size and (history is None or history.closed is None):
            # What lies in the log unsigned is signed before anything is added to it.
            self._sign(self._turn_of_last(records[:in_ledger]))
        for record in records[in_ledger:]:
            self.enter(record)

    def enter(self, record: RoundRecord) -> None:
        """Write a completed round, and let the sites co-sign it."""
        lines = lines_of(record)
        self._append([*self._last_note(), *lines])
        self._sign(self._turn_of(record, lines))

    def close(self, model_sha256: str) -> LedgerEnd:
        """Write what the run ended with, let the sites co-sign it and confirm to each other that they did."""
        end = ModelFinal(model_sha256)
        if next(self._log.entries(self._log.size - 1)) != end.to_bytes():
            self._append([*self._last_note(), end])
        endorsed = self._sign(Turn(self._plan.rounds, dict.fromkeys(self._fabric.sites(), (end,)), outlasting=True))
        name, size, root = self._run.hex(), self._log.size, self._log.root().hex()
        if endorsed is None or self._cosigning is None or self._note is None:
            return LedgerEnd(name, size, root)
        confirmed = self._cosigning.confirm(self._note)
        down, up = self._cosigning.fabric.taken()
        return LedgerEnd(
            name, size, root, endorsed.signed, endorsed.is_final, confirmed, tuple(self.events()), down, up
        )

    def events(self) -> list[str]:
        """Return, and forget, what went wrong with signing, in words."""
        if self._cosigning is None:
            return []
        told, self._cosigning.events = self._cosigning.events, []
        return told

    @property
    def _signer(self) -> Signer:
        public = self._private.public_key().public_bytes_raw()
        return Signer(Key(run_origin(self._run), ED25519, public), self._private.sign)

    @property
    def _fingerprints(self) -> dict[str, str]:
        if self._roster is None:
            return dict.fromkeys(self._fabric.sites(), "")
        return {site: identity.fingerprint for site, identity in self._roster.identities.items()}

    def _joined(self) -> dict[str, str]:
        if self._roster is None:
            return {}
        key, timeout_s = self._signer.key, self._plan.timeout_s or None
        self._cosigning = Cosigning(self._fabric, self._roster, self._log, key, timeout_s)
        return self._cosigning.join(self._run, key)

    def _go_on(self, history: History, records: Sequence[RoundRecord]) -> int:
        """Compare the ledger with the completed rounds; return how many of them are in it."""
        opened = history.opened
        if (opened.plan, dict(opened.sites)) != (self._plan.digest(), self._fingerprints):
            raise RunError(
                "the ledger of this run was opened for another plan or other keys of the sites: start anew with "
                "another --out"
            )
        if opened.log_key != self._signer.key.to_text():
            raise RunError("the key of this run's ledger is missing: put it back, or start anew with another --out")
        for record, lines in zip(records, history.rounds, strict=False):
            if lines != lines_of(record):
                raise RunError(
                    f"the ledger and rounds.jsonl differ in round {record.round}: one of them was changed; start anew "
                    "with another --out"
                )
        if len(history.rounds) > len(records):
            self._append([Rewound(len(records))])
        return min(len(history.rounds), len(records))

    def _turn_of_last(self, entered: Sequence[RoundRecord]) -> Turn:
        """Return the turn of what lies at the end of the log: a round, or what comes before the first."""
        last = next(self._log.entries(self._log.size - 1))
        lines = lines_of(entered[-1]) if entered else []
        if lines and lines[-1].to_bytes() == last:
            return self._turn_of(entered[-1], lines)
        opened, *keys = read_history(self._log.entries()).opening
        own = shown(keys)
        return Turn(BEFORE, {site: [opened, *own.get(site, [])] for site in self._fabric.sites()})

    def _turn_of(self, record: RoundRecord, lines: Sequence[Entry]) -> Turn:
        outlasting = self._plan.ledger.outlasts(record.round)
        state = aggregate_in(lines) if self._plan.pipeline.opens_at_sites else None
        return Turn(record.round, shown(lines), attempts_in(record), outlasting, state)

    def _last_note(self) -> list[Entry]:
        return [Cosigned(self._note)] if self._note is not None and self._roster else []

    def _append(self, entries: Sequence[Entry]) -> None:
        self._log.append([entry.to_bytes() for entry in entries])

    def _sign(self, turn: Turn) -> Endorsement | None:
        """Sign the log as it is, let the sites do so too, and keep the checkpoint; ``None`` where no site has keys."""
        checkpoint, signer = Checkpoint(run_origin(self._run), self._log.size, self._log.root()), self._signer
        note, endorsed = Note(checkpoint.text, (signer.key.sign(checkpoint.text, signer.sign),)), None
        if self._cosigning is not None:
            note = note.signed(self._cosigning.sign(turn, note, self._note))
            endorsed = self._cosigning.witnesses.endorsement(note)
            if not endorsed.is_final:
                self._cosigning.events.append(
                    f"the ledger's {checkpoint} are not final: {', '.join(endorsed.missing)} did not co-sign"
                )
        self._journal.keep_checkpoint(note.to_bytes())
        self._note = note
        return endorsed
