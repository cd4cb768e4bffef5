"""Following a job from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from wardround.errors import FabricDown, QuorumLost, RunError, WardroundError
from wardround.fabric.flare import follow as flare_follow
from wardround.fabric.flare.follow import JobStatus, NewLines, read_outcome, sigterm_unwinds


def test_each_line_is_told_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    path, told = tmp_path / "rounds.jsonl", list[dict[str, Any]]()
    lines = NewLines(path, told.append, skip=False)
    lines.poll()
    path.write_text('{"round":0}\n{"rou')
    lines.poll()
    lines.poll()
    assert told == [{"round": 0}]
    path.write_text('{"round":0}\n{"round":1}\n')
    lines.poll()
    assert told == [{"round": 0}, {"round": 1}]


def test_a_resumed_run_tells_only_what_is_new_even_after_a_cut(tmp_path: Path) -> None:
    path, told = tmp_path / "rounds.jsonl", list[dict[str, Any]]()
    path.write_text('{"round":0}\n{"rou')
    lines = NewLines(path, told.append, skip=True)
    path.write_text('{"round":0}\n')
    lines.poll()
    with path.open("a") as file:
        file.write('{"round":1}\n')
    lines.poll()
    assert told == [{"round": 1}]


@pytest.mark.parametrize(
    ("kind", "raised"), [("QuorumLost", QuorumLost), ("FabricDown", FabricDown), ("KeyError", RunError)]
)
def test_what_ended_the_coordinator_is_raised_here(tmp_path: Path, kind: str, raised: type[WardroundError]) -> None:
    path = tmp_path / "outcome.json"
    assert read_outcome(path) is None
    path.write_text(json.dumps({"ended": True, "kind": kind, "sentence": "it ended"}))
    outcome = read_outcome(path)
    assert outcome is not None
    with pytest.raises(raised, match="it ended") as caught:
        outcome.raise_failure()
    assert type(caught.value) is raised


def test_a_job_that_flare_calls_finished_gets_one_more_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flare_follow, "STATUS_EVERY_S", 0.0)
    statuses = iter(["RUNNING", "FINISHED:ABORTED"])

    class Fake:
        def status(self, job_id: str) -> str:
            return next(statuses)

    watch = JobStatus(Fake(), "j")  # type: ignore[arg-type]
    watch.check()
    watch.check()
    with pytest.raises(FabricDown, match="FINISHED:ABORTED"):
        watch.check()


def test_sigterm_leaves_through_the_context_managers_and_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    unwound = []

    def terminated() -> None:
        with sigterm_unwinds(), contextlib.ExitStack() as stack:
            stack.callback(unwound.append, True)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5.0)

    with pytest.raises(SystemExit) as caught:
        terminated()
    assert (unwound, caught.value.code) == ([True], 143)
    assert signal.getsignal(signal.SIGTERM) is before
