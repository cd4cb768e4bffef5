"""A run folder: what a run leaves on disk, and what it resumes from."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from safetensors import SafetensorError

from wardround.core.files import SYNC_ROUND_S, write_atomically
from wardround.core.update import Tensors
from wardround.errors import LedgerError, RunFolderError
from wardround.ledger.log import Log
from wardround.protect.identity import SEED_BYTES
from wardround.protect.private_files import make_private_folder, read_own, write_private
from wardround.rounds.model_file import MODEL_FILE
from wardround.rounds.plan import Plan
from wardround.rounds.record import RoundRecord
from wardround.rounds.split.body_host import KIND
from wardround.rounds.store import SiteStore
from wardround.study.spec import load, to_toml

LEDGER, CHECKPOINT = "ledger", "checkpoint"


class RunFolder:
    """One run's folder; also the coordinator's `Journal`.

    ```text
    plan.toml            every setting, defaults spelt out
    rounds.jsonl         one line per completed round
    roster.json          public keys of the sites, where they agreed on keys
    checkpoint-N.safetensors  the server's state after round N, the last; gone when the run is done
    model.safetensors    the trained weights
    predictions.safetensors  on the test parts, where they may leave their site
    pictures.safetensors     some test images and what was said of them, where these are published
    summary.json         metrics, bytes, seconds, versions
    report.html          the same for people
    ledger/              what can be proved afterwards: the log, and its last checkpoint with all that signed it
    ```

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._committed_s = time.monotonic()

    @classmethod
    def create(cls, path: Path, plan: Plan, resume: bool) -> RunFolder:
        """Make the folder, or open it to go on.

        Raises:
            RunFolderError: it exists and `resume` is off, or it belongs to another plan.
        """
        folder = cls(path)
        folder.refuse_taken(resume)
        if not path.exists() or folder._is_bare():
            try:
                path.mkdir(parents=True, exist_ok=True)
                write_atomically(folder.plan_file, to_toml(plan).encode())
            except OSError as error:
                raise RunFolderError(f"{path} cannot be made ({error.strerror}): choose another --out") from None
            return folder
        folder.check_plan(plan)
        return folder

    def refuse_taken(self, resume: bool) -> None:
        """Refuse a folder that is there, unless the run is to go on in it.

        Raises:
            RunFolderError: it exists and `resume` is off.
        """
        if self.path.exists() and not resume:
            raise RunFolderError(f"{self.path} exists: add --resume to go on with it, or choose another --out")

    def is_settled(self, plan: Plan, resume: bool) -> bool:
        """Whether `plan` came to its end here before. Every engine asks this first, before it loads anything.

        Raises:
            RunFolderError: the folder exists and `resume` is off, or the run that ended here is of another plan.
        """
        self.refuse_taken(resume)
        if not (self.path.exists() and self.is_done()):
            return False
        self.check_plan(plan)
        return True

    def check_plan(self, plan: Plan) -> None:
        """Check that this is a run of `plan`.

        Raises:
            RunFolderError: it is none, or one of another plan.
        """
        if self.plan().digest() != plan.digest():
            raise RunFolderError(f"{self.path} was made by another plan: resume with its own plan.toml")

    def _is_bare(self) -> bool:
        # A run that was killed before it wrote its plan left this much.
        return self.path.is_dir() and {file.name for file in self.path.iterdir()} <= {"plan.toml.partial"}

    @property
    def plan_file(self) -> Path:
        """Where the plan lies."""
        return self.path / "plan.toml"

    def plan(self) -> Plan:
        """Read the plan.

        Raises:
            RunFolderError: this is no run folder.
        """
        if not self.plan_file.is_file():
            raise RunFolderError(f"{self.path} is no run folder: it holds no plan.toml")
        return load(self.plan_file)

    def summary(self) -> dict[str, Any]:
        """Read the summary.

        Raises:
            RunFolderError: the run is not finished, or its summary is damaged.
        """
        try:
            found = json.loads((self.path / "summary.json").read_bytes())
        except FileNotFoundError:
            raise RunFolderError(f"{self.path} holds no summary.json: finish the run with --resume") from None
        except ValueError:
            raise RunFolderError(f"{self.path / 'summary.json'} is damaged: it is no JSON") from None
        if not isinstance(found, dict):
            raise RunFolderError(f"{self.path / 'summary.json'} is damaged: it holds no object")
        return found

    def is_done(self) -> bool:
        """Whether the run came to its end."""
        return (self.path / "summary.json").exists() and self.summary().get("status") == "done"

    def records(self) -> list[RoundRecord]:
        """Read the completed rounds; a last line that a crash cut short does not count.

        Raises:
            RunFolderError: a line before the last is damaged.
        """
        path = self.path / "rounds.jsonl"
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        try:
            return [RoundRecord.from_json(json.loads(line)) for line in lines[:-1]]
        except (ValueError, TypeError, KeyError) as error:
            raise RunFolderError(f"{path} is damaged: {error}") from None

    def last(self) -> tuple[list[RoundRecord], Tensors] | None:
        """Return the completed rounds and the state after them; see `Journal.last`.

        Raises:
            RunFolderError: the checkpoint is damaged.
        """
        checkpoints = self._checkpoints()
        if not checkpoints:
            (self.path / "rounds.jsonl").unlink(missing_ok=True)
            return None
        checkpoint = checkpoints[-1]
        try:
            with safetensors.safe_open(checkpoint, framework="numpy") as opened:
                last = RoundRecord.from_json(json.loads(opened.metadata()["record"]))
            state = safetensors.numpy.load(checkpoint.read_bytes())
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{checkpoint} is damaged: {error}") from None
        # A checkpoint is renamed into place before its line is appended: it alone decides which round was the last.
        records = [record for record in self.records() if record.round < last.round] + [last]
        if [record.round for record in records] != list(range(last.round + 1)):
            raise RunFolderError(f"{self.path / 'rounds.jsonl'} lacks rounds before round {last.round}")
        write_atomically(self.path / "rounds.jsonl", b"".join(_line(record) for record in records))
        return records, state

    def roster(self) -> tuple[str, dict[str, bytes]]:
        """Return who agreed on keys for this run; see `Journal.roster`.

        Raises:
            RunFolderError: the file is damaged.
        """
        path = self.path / "roster.json"
        if not path.exists():
            return "", {}
        try:
            held = json.loads(path.read_bytes())
            return str(held["run"]), {str(site): bytes.fromhex(key) for site, key in held["identities"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(f"{path} is damaged: {error}") from None

    def keep_roster(self, run: str, identities: Mapping[str, bytes]) -> None:
        """Keep who agreed on keys; see `Journal.keep_roster`."""
        held = {"run": run, "identities": {site: key.hex() for site, key in sorted(identities.items())}}
        write_atomically(self.path / "roster.json", json.dumps(held, indent=1).encode() + b"\n")

    def commit(self, record: RoundRecord, state: Tensors) -> None:
        """Keep a completed round; see `Journal.commit`.

        A killed process loses nothing. Rounds longer than `SYNC_ROUND_S` also outlive a power failure; shorter ones
        would spend a tenth of their time waiting for the disk.
        """
        content = safetensors.numpy.save(_contiguous(state), {"record": _line(record).decode()})
        now = time.monotonic()
        older = self._checkpoints()
        # A name of its own: renaming over a file makes the file system flush, which costs as much as syncing.
        newest = self.path / f"checkpoint-{record.round:06d}.safetensors"
        write_atomically(newest, content, sync=now - self._committed_s > SYNC_ROUND_S)
        self._committed_s = now
        with (self.path / "rounds.jsonl").open("ab") as lines:
            lines.write(_line(record))
        for path in older:
            if path != newest:
                path.unlink(missing_ok=True)

    def ledger(self) -> Log:
        """Open the log of the run for writing; see `Journal.ledger`.

        Raises:
            RunFolderError: it is damaged, or another process writes to it.
        """
        try:
            return Log(self.path / LEDGER)
        except LedgerError as error:
            raise RunFolderError(f"{error}; without its ledger a run cannot go on") from None

    def log_seed(self) -> bytes:
        """Return the secret of the log's key, which lies beside the folder; see `Journal.log_seed`."""
        path = self.path.with_name(self.path.name + ".coordinator") / "log.key"
        if not path.exists():
            make_private_folder(path.parent)
            write_private(path, secrets.token_bytes(SEED_BYTES), replace=False)
        seed = read_own(path, SEED_BYTES, forbidden=0o077, why=f"others can sign as this coordinator; chmod 600 {path}")
        if len(seed) != SEED_BYTES:
            raise RunFolderError(f"{path} is damaged: put back your copy of it, or start anew with another --out")
        return seed

    def checkpoint(self) -> bytes | None:
        """Return the last checkpoint; see `Journal.checkpoint`."""
        path = self.path / LEDGER / CHECKPOINT
        return path.read_bytes() if path.exists() else None

    def keep_checkpoint(self, note: bytes) -> None:
        """Keep the last checkpoint; see `Journal.keep_checkpoint`. After a crash the sites sign it again."""
        (self.path / LEDGER / CHECKPOINT).unlink(missing_ok=True)  # renaming over a file costs a flush of the disk
        write_atomically(self.path / LEDGER / CHECKPOINT, note, sync=False)

    def body_store(self) -> SiteStore:
        """Return where a body host on this machine keeps the body; see `Journal.body_store`."""
        return SiteStore(self.path.with_name(self.path.name + ".body"), KIND)

    def write_file(self, name: str, content: bytes) -> str:
        """Write a file, atomically, and return its SHA-256 in hex."""
        write_atomically(self.path / name, content)
        return hashlib.sha256(content).hexdigest()

    def take_model(self) -> None:
        """Copy the trained weights from the store of a site on this machine, where the coordinator is blind.

        Any site will do: one that went away, or could not keep up, has no model or an old one.

        Raises:
            RunFolderError: no site holds what the sites agreed on.
        """
        if (self.path / MODEL_FILE).exists():
            return
        agreed = self.summary()
        for site in sorted(agreed["sites"]):
            held = self.store_root / site / MODEL_FILE
            content = held.read_bytes() if held.exists() else b""
            if hashlib.sha256(content).hexdigest() == agreed["model_sha256"]:
                self.write_file(MODEL_FILE, content)
                return
        raise RunFolderError(f"no site in {self.store_root} holds the model that the sites agreed on: train anew")

    def write_tensors(self, name: str, tensors: Tensors, metadata: dict[str, str]) -> str:
        """Write a safetensors file, atomically, and return its SHA-256 in hex."""
        return self.write_file(name, safetensors.numpy.save(_contiguous(tensors), metadata))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write ``summary.json``, atomically."""
        text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(self.path / "summary.json", (text + "\n").encode())

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a run that is done."""
        for path in self._checkpoints():
            path.unlink(missing_ok=True)

    def _checkpoints(self) -> list[Path]:
        return sorted(self.path.glob("checkpoint-*.safetensors"))

    @property
    def store_root(self) -> Path:
        """Where sites on this machine keep their memories: beside the folder, which may be published, not in it."""
        return self.path.with_name(self.path.name + ".sites")


def _line(record: RoundRecord) -> bytes:
    return json.dumps(record.to_json(), ensure_ascii=False).encode() + b"\n"


def _contiguous(tensors: Tensors) -> dict[str, np.ndarray]:
    return {name: np.asarray(value, order="C") for name, value in tensors.items()}
