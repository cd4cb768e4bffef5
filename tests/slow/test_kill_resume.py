"""Processes killed in the middle of a round: the run goes on, or resumes, to the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from wardround.fabric.workers import MAX_RESTARTS

pytestmark = pytest.mark.slow

PLAN = """name = "killed"
rounds = 4
{top}
[data]
stride_px = 16
[model]
width = 8
dropout = 0.3
[algorithm]
name = "scaffold"
personal = "norms"
[training]
steps = 150
batch_size = 32
momentum = 0.9
keep_optimiser = true
augment = "dihedral"
[evaluation]
every = 2
bootstrap = 10
"""
PATIENCE_S = 240


class Running:
    """A ``wardround train`` in a process of its own."""

    def __init__(self, plan: Path, run: Path, *options: str) -> None:
        self.run = run
        command = [sys.executable, "-c", "from wardround.cli.main import main; main()"]
        self.process = subprocess.Popen(
            [*command, "train", str(plan), "--out", str(run), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def wait_for(self, rounds: int) -> None:
        """Wait until so many rounds are on disk, and the next one is under way."""
        self.until(lambda: len(lines(self.run)) >= rounds and bool(self.workers()))
        time.sleep(0.3)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "the run does not get on"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it just ended
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def busy_worker(self) -> psutil.Process:
        """A worker that is in the middle of something."""
        found: list[psutil.Process] = []

        def computing() -> bool:
            found.clear()
            for worker in self.workers():
                with contextlib.suppress(psutil.Error):  # it just ended
                    if worker.cpu_percent(0.1) > 10:
                        found.append(worker)
            return bool(found)

        self.until(computing)
        return found[0]

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


def lines(run: Path) -> list[dict[str, Any]]:
    path = run / "rounds.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def model(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def digests(run: Path) -> list[str]:
    return [line["state_digest"] for line in lines(run)]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text(PLAN.format(top=""))
    return path


@pytest.fixture(scope="module")
def undisturbed(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    running = Running(plan, tmp_path_factory.mktemp("undisturbed") / "run", "--workers", "0")
    code, _, err = running.end()
    assert code == 0, err
    return running.run


@contextlib.contextmanager
def starting(plan: Path, run: Path) -> Iterator[Callable[..., Running]]:
    """Start, or resume, one run; whatever is left of it in the end is ended."""
    started: list[Running] = []

    def begin(*options: str, of: Path = plan, workers: int = 2) -> Running:
        started.append(Running(of, run, "--workers", str(workers), *options))
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def start(tmp_path: Path, plan: Path) -> Iterator[Callable[..., Running]]:
    """Start, or resume, the run of this test."""
    with starting(plan, tmp_path / "run") as begin:
        yield begin


def kill(running: Running, rounds: int, most: int) -> None:
    """End the coordinator without warning once `rounds` are complete; its workers end by themselves."""
    running.wait_for(rounds)
    workers = running.workers()
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    assert not psutil.wait_procs(workers, timeout=20)[1]
    assert rounds <= len(lines(running.run)) < most


def finish(running: Running) -> None:
    code, out, err = running.end()
    assert code == 0, err
    assert out.splitlines()[-1] == str(running.run)


def test_a_killed_coordinator_resumes_to_the_same_bytes(start: Callable[..., Running], undisturbed: Path) -> None:
    for rounds in (1, 3):
        running = start("--resume")
        kill(running, rounds, 4)
        assert not (running.run / "model.safetensors").exists()
    running = start("--resume")
    finish(running)
    assert model(running.run) == model(undisturbed)
    assert digests(running.run) == digests(undisturbed)
    assert (
        json.loads((running.run / "summary.json").read_text())["metrics"]
        == json.loads((undisturbed / "summary.json").read_text())["metrics"]
    )


def test_a_killed_worker_is_replaced_and_named(start: Callable[..., Running], undisturbed: Path) -> None:
    running = start()
    running.wait_for(1)
    running.busy_worker().kill()
    finish(running)
    assert model(running.run) == model(undisturbed)
    events = [event for line in lines(running.run) for event in line["events"]]
    assert len(events) == 1
    assert "died during" in events[0]
    assert "was started again" in events[0]
    assert not any(line["failed"] for line in lines(running.run))


def test_workers_that_die_again_and_again_end_the_run_until_it_is_resumed(
    start: Callable[..., Running], undisturbed: Path
) -> None:
    running = start()
    running.wait_for(1)
    for deaths in range(MAX_RESTARTS + 1):
        if deaths:
            running.until(lambda: len(running.workers()) == 2)  # one of them is being started again
        running.busy_worker().kill()
    code, out, err = running.end()
    assert code == 1
    assert out == ""
    assert f"wardround: worker processes died {MAX_RESTARTS + 1} times" in err
    assert "Traceback" not in err
    kept = digests(running.run)
    assert 1 <= len(kept) < 4
    assert json.loads((running.run / "summary.json").read_text())["status"] == "failed"
    running = start("--resume")
    finish(running)
    assert digests(running.run)[: len(kept)] == kept
    assert model(running.run) == model(undisturbed)


def test_an_interrupted_run_says_how_to_go_on(start: Callable[..., Running], undisturbed: Path) -> None:
    running = start()
    running.wait_for(2)
    workers = running.workers()
    running.process.send_signal(signal.SIGINT)
    code, out, err = running.end()
    assert code == 1
    assert out == ""
    assert err.splitlines()[-1] == "wardround: interrupted; --resume goes on after the last completed round"
    assert "Traceback" not in err
    assert not psutil.wait_procs(workers, timeout=20)[1]
    running = start("--resume")
    finish(running)
    assert model(running.run) == model(undisturbed)


def limited(tmp_path: Path, top: str) -> Path:
    path = tmp_path / "limited.toml"
    path.write_text(PLAN.format(top=top).replace("rounds = 4", "rounds = 3"))
    return path


def test_a_hung_site_fails_alone_and_by_name(start: Callable[..., Running], tmp_path: Path) -> None:
    running = start(of=limited(tmp_path, "timeout_s = 12.0"))
    running.wait_for(1)
    running.busy_worker().send_signal(signal.SIGSTOP)
    finish(running)
    failed = [line["failed"] for line in lines(running.run) if line["failed"]]
    assert len(failed) == 1
    ((site, reason),) = failed[0].items()
    assert reason == "train took longer than the time limit of 12 s"
    record = next(line for line in lines(running.run) if line["failed"])
    assert set(record["accepted"]) == set(record["cohort"]) - {site}
    assert f"the worker of site {site} was replaced because train hung" in record["events"]


def test_below_quorum_the_run_stops_and_earlier_rounds_are_kept(start: Callable[..., Running], tmp_path: Path) -> None:
    plan = limited(tmp_path, "timeout_s = 12.0\nquorum = 4")
    running = start(of=plan)
    running.wait_for(1)
    running.busy_worker().send_signal(signal.SIGSTOP)
    code, out, err = running.end()
    assert (code, out) == (1, "")
    sentence = err.splitlines()[-1]
    assert "had 3 good updates, its quorum is 4" in sentence
    assert "took longer than the time limit of 12 s" in sentence
    assert "--resume" in sentence
    kept = digests(running.run)
    assert 1 <= len(kept) < 3
    running = start("--resume", of=plan)
    finish(running)
    assert digests(running.run)[: len(kept)] == kept
    calm = Running(plan, tmp_path / "calm", "--workers", "1")
    finish(calm)
    assert model(calm.run) == model(running.run)
