"""Sealed rounds whose processes are killed at random moments: the same model, and the same frames sent again."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_kill_resume import Running, digests, finish, lines, model

from wardround.study.audit import audit

pytestmark = pytest.mark.slow

PARTIES = Path(__file__).parent / "parties"
ROUNDS = 5
PLAN = f"""name = "sealed"
rounds = {ROUNDS}
[data]
stride_px = 16
[model]
width = 40
dropout = 0.3
[training]
steps = 8
batch_size = 16
momentum = 0.9
keep_optimiser = true
[evaluation]
every = 0
bootstrap = 0
[[protect]]
stage = "clip"
norm = 10.0
[[protect]]
stage = "quantise"
[[protect]]
stage = "masks"
[[protect]]
stage = "homomorphic"
"""
SEED = 2026


@dataclass(frozen=True)
class Moment:
    """When a process is killed: after so many rounds, then so many uploads of the round or so many seconds.

    Attributes:
        rounds: that are complete.
        uploads: of the round that is under way; -1 does not look at them.
        delay_s: after that.
    """

    rounds: int
    uploads: int
    delay_s: float


def moments() -> list[Moment]:
    """Return random moments: three of four while frames are on their way, the rest anywhere in a round."""
    rng = random.Random(SEED)
    rounds = sorted(rng.choices(range(ROUNDS), k=8))
    return [
        Moment(done, rng.randrange(1, 5) if index % 4 else -1, rng.uniform(0, 0.15 if index % 4 else 2))
        for index, done in enumerate(rounds)
    ]


class Noted(Running):
    """A ``wardround train`` that notes its frames."""

    def __init__(self, plan: Path, run: Path, *options: str) -> None:
        self.run = run
        self.notes = run.with_suffix(".notes")
        program = [sys.executable, str(PARTIES / "frames_noted.py")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WARDROUND_TEST_NOTES": str(self.notes)}
        self.process = subprocess.Popen(
            [*program, "train", str(plan), "--out", str(run), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def uploads(self) -> list[dict[str, Any]]:
        """What this process noted of the round that is under way."""
        return [note for note in noted(self.notes) if (note["pid"], note["round"]) == self._now()]

    def reach(self, moment: Moment) -> bool:
        """Wait for a moment; False if the run got past it."""
        self.until(lambda: len(lines(self.run)) >= moment.rounds and bool(self.workers()))
        if moment.uploads > 0:
            self.until(lambda: len(self.uploads()) >= moment.uploads or len(lines(self.run)) > moment.rounds)
        time.sleep(moment.delay_s)
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill it; its workers end by themselves."""
        workers = self.workers()
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert not psutil.wait_procs(workers, timeout=20)[1]

    def _now(self) -> tuple[int, int]:
        return self.process.pid, len(lines(self.run))


def noted(notes: Path) -> list[dict[str, Any]]:
    """Return all notes; one that was cut short by a kill is none."""
    text = notes.read_text() if notes.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def shelved(run: Path) -> dict[str, str]:
    """Return site and name of every frame that lies on a shelf, with its digest."""
    root = run.with_name(run.name + ".sites")
    return {str(path.relative_to(root)): digest_of_file(path) for path in root.glob("*/frame-*.bin")}


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file; the site may drop it meanwhile."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def undisturbed(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    running = Running(plan, tmp_path_factory.mktemp("undisturbed") / "run", "--workers", "0")
    finish(running)
    return running.run


@pytest.fixture
def start(tmp_path: Path, plan: Path) -> Iterator[Callable[..., Noted]]:
    """Start, or resume, the run of this test; whatever is left of it is ended."""
    started: list[Noted] = []

    def begin(*options: str) -> Noted:
        started.append(Noted(plan, tmp_path / "run", "--workers", "2", *options))
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.wait()


def test_killed_at_random_moments_it_resumes_to_the_same_model_with_the_same_frames(
    start: Callable[..., Noted], undisturbed: Path
) -> None:
    kills, kept = 0, dict[str, str]()
    running = start()
    for moment in moments():
        if not running.reach(moment):
            break
        running.kill()
        kills += 1
        kept |= same_as_before(kept, shelved(running.run))
        assert not (running.run / "model.safetensors").exists()
        running = start("--resume")
    finish(running)
    same_as_before(kept, shelved(running.run))
    assert model(running.run) == model(undisturbed)
    assert digests(running.run) == digests(undisturbed)
    assert not any(line["failed"] for line in lines(running.run))
    proved = audit(running.run, running.run / "roster.json")
    assert (proved.remarks, proved.endorsed[proved.checkpoint.size].is_final) == ((), True)
    sent: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for note in noted(running.notes):
        sent.setdefault((note["round"], note["attempt"], note["part"], note["site"]), []).append(note)
    again = [notes for notes in sent.values() if len({note["pid"] for note in notes}) > 1]
    print(f"{kills} kills, {len(sent)} frames, {len(again)} of them sent by more than one process, {len(kept)} shelved")
    assert kills == len(moments())
    assert len(again) >= kills // 2
    assert all(len({note["digest"] for note in notes}) == 1 for notes in sent.values())


def same_as_before(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Check that no frame that was there before has other bytes now."""
    for name in before.keys() & now.keys():
        assert now[name] == before[name], f"{name} was made anew"
    return now


def test_a_worker_that_is_killed_while_it_trains_leaves_no_trace(
    start: Callable[..., Noted], undisturbed: Path
) -> None:
    running = start()
    running.wait_for(1)
    running.busy_worker().kill()
    finish(running)
    assert any("was started again" in event for line in lines(running.run) for event in line["events"])
    assert not any(line["failed"] for line in lines(running.run))
    assert model(running.run) == model(undisturbed)


@pytest.mark.parametrize("uploads", [1, 4])
def test_nor_does_one_that_is_killed_while_frames_travel(
    start: Callable[..., Noted], undisturbed: Path, uploads: int
) -> None:
    running = start()
    assert running.reach(Moment(1, uploads, 0.0))
    running.workers()[uploads % 2].kill()
    finish(running)
    assert any("was started again" in event for line in lines(running.run) for event in line["events"])
    assert not any(line["failed"] for line in lines(running.run))
    assert model(running.run) == model(undisturbed)
