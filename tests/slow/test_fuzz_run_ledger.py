"""What is read of a run's ledger beside the log itself: whatever the bytes, our error or a legal value."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from ledger_sites import tampered

from wardround.errors import LedgerError
from wardround.ledger.log import Log
from wardround.ledger.notes import Note
from wardround.rounds.logbook.history import read_history
from wardround.rounds.logbook.standing import Standing
from wardround.study.audit import read_note
from wardround.study.folder import CHECKPOINT, LEDGER, RunFolder
from wardround.study.run import train
from wardround.study.simulation import simulated
from wardround.study.witnesses import ROSTER, read_roster

pytestmark = pytest.mark.slow

INPUTS = 100_000
Reads = Callable[[bytes], object]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = tiny.plan(
        rounds=1,
        data={"stride_px": 16, "sites": {"by": "iid", "sites": 3}},
        protect=tiny.PIPELINES["packed and masked"],
    )
    return train(plan, tmp_path_factory.mktemp("runs") / "run", workers=0)


def from_file(folder: Path, read: Callable[[Path], object]) -> Reads:
    path = folder / "file.json"

    def reads(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return reads


def as_entries(data: bytes) -> object:
    return read_history(data.split(b"\n"))


def hammer(reads: Reads, good: list[bytes], seed: int) -> Counter[str]:
    """Read damaged bytes; anything but `LedgerError` ends the test."""
    found: Counter[str] = Counter()
    for data in tampered(good, INPUTS, seed):
        try:
            reads(data)
        except LedgerError:
            found["refused"] += 1
        else:
            found["read"] += 1
    return found


def test_histories(run: Path) -> None:
    with Log(run / LEDGER, read_only=True) as log:
        whole = b"\n".join(entry for entry in log.entries() if b'"kind":"cosigned"' not in entry)
    as_entries(whole)
    assert hammer(as_entries, [whole], 1)["refused"] > 0.9 * INPUTS


def test_standings(run: Path) -> None:
    vault = simulated(RunFolder(run).store_root, ("site-1", "site-2", "site-3"), "site-1").vault
    (name,) = (name for name in vault.names() if name.startswith("ledger-at-"))
    good = vault.read(name)
    assert Standing.from_bytes(good).to_bytes() == good
    assert hammer(Standing.from_bytes, [good], 2)["refused"] > 0.5 * INPUTS


def test_rosters(run: Path, tmp_path: Path) -> None:
    good = (run / ROSTER).read_bytes()
    assert hammer(from_file(tmp_path, read_roster), [good], 3)["refused"] > 0.2 * INPUTS
    assert set(json.loads(good)["identities"]) == set(read_roster(run / ROSTER))


def test_checkpoints(run: Path, tmp_path: Path) -> None:
    good = (run / LEDGER / CHECKPOINT).read_bytes()
    assert Note.from_bytes(good).to_bytes() == good
    assert hammer(from_file(tmp_path, read_note), [good], 4)["refused"] > 0.2 * INPUTS
