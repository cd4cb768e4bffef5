"""Real FLARE processes on loopback: calls, faults, recovery, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nvflare.collab", reason="needs the extra [flare]")
import psutil

from wardround.errors import FabricDown, QuorumLost
from wardround.fabric.flare.job import RUNS, JobClasses
from wardround.fabric.flare.poc import Loopback, free_port, launch_poc
from wardround.fabric.flare.processes import Family
from wardround.fabric.flare.project import ALLOWED, Project, provision
from wardround.fabric.flare.submit import Consortium, submit

# FLARE's own threads die of the deprecation warnings of its dependencies where warnings are errors.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PARTIES = Path(__file__).parent / "parties"
SITES = ("site_a", "site_b")
CLASSES = JobClasses("faulty_site.apps.FaultySiteApp", "faulty_site.apps.ScriptApp")
PYTHONPATH = os.pathsep.join(filter(None, (str(PARTIES), os.environ.get("PYTHONPATH"))))


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[Loopback]:
    yield Loopback(
        SITES,
        tmp_path / "echo-01234567",
        data_root=tmp_path / "images",
        classes=CLASSES,
        allowed=(*ALLOWED, "faulty_site."),
        environment={"PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"},
    )
    assert running(tmp_path) == [], "processes were left behind"


def running(folder: Path) -> list[int]:
    """Processes that were told to keep runs in `folder`, which is this test's own."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUNS) == str(folder):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def listeners(folder: Path) -> set[str]:
    addresses = set()
    for pid in running(folder):
        for connection in psutil.Process(pid).net_connections():
            if connection.status == psutil.CONN_LISTEN:
                addresses.add(connection.laddr.ip)
    return addresses


def rounds(loopback: Loopback) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (loopback.run_folder / "rounds.jsonl").read_text().splitlines()]


def plan(*calls: dict[str, Any]) -> str:
    return json.dumps({"calls": calls})


def test_sites_answer_and_faulty_ones_fail_alone(loopback: Loopback, tmp_path: Path) -> None:
    size = 9_000_000
    seen: list[dict[str, Any]] = []
    heard_on: set[str] = set()

    def on_progress(line: dict[str, Any]) -> None:
        seen.append(line)
        heard_on.update(listeners(tmp_path))

    calls = [{"op": "echo"}, {"op": "echo", "size": size}]
    calls += [{"op": "burst", "at": "site_a"}, {"op": "refuse", "at": "site_b"}]
    calls += [{"op": "hang", "at": "site_a", "timeout_s": 2.0}]
    begun = time.monotonic()
    finished = launch_poc(plan(*calls), loopback, on_progress=on_progress)
    took_s = time.monotonic() - begun

    first, long, burst, refuse, hang = (line["answers"] for line in rounds(loopback))
    assert seen == rounds(loopback)
    assert first["site_a"] == {"site": "site_a", "calls": 1, "data_root": str(tmp_path / "images"), "sum": 1}
    assert {answer["sum"] for answer in long.values()} == {size}
    assert {answer["calls"] for answer in long.values()} == {2}
    assert burst["site_a"] == "site site_a failed with KeyError; its own log holds the details"
    assert refuse["site_b"] == "site site_b has no images"
    assert hang["site_a"] == "site site_a did not answer 'hang' within 2 s"
    assert all(isinstance(answers["site_b"], dict) for answers in (burst, hang))
    assert heard_on == {"127.0.0.1"}
    assert finished.mended == ()
    assert (tmp_path / "echo-01234567.sites" / "site_a").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["echo-01234567", "echo-01234567.sites"]
    assert took_s < 120  # a busy machine takes its time
    print(f"start {finished.start_s:.1f} s, small call {rounds(loopback)[0]['seconds'] * 1e3:.0f} ms")


@pytest.mark.parametrize("victim", ["site", "coordinator"])
def test_a_killed_process_is_followed_by_a_fresh_job_that_resumes(loopback: Loopback, victim: str) -> None:
    def on_progress(line: dict[str, Any]) -> None:
        if line["call"] == 0 and victim == "coordinator":
            os.kill(line["pid"], signal.SIGKILL)
        if line["call"] == 0 and victim == "site":
            store = loopback.run_folder.with_name("echo-01234567.sites")
            os.kill(int((store / "site_a" / "pid").read_text()), signal.SIGKILL)

    finished = launch_poc(plan({"op": "echo"}, {"op": "hang"}, {"op": "echo"}), loopback, on_progress=on_progress)
    lines = rounds(loopback)
    assert [line["call"] for line in lines] == [0, 1, 2]
    assert lines[1]["events"] == list(finished.mended)
    assert len(finished.mended) == 1
    assert "job 2 resumed the run" in finished.mended[0]
    assert all(isinstance(answer, dict) for line in lines for answer in line["answers"].values())
    assert lines[0]["pid"] != lines[1]["pid"]


def test_a_coordinator_that_gives_up_is_not_started_again(loopback: Loopback) -> None:
    with pytest.raises(QuorumLost, match=r"^1 site is fewer than the quorum of 2$"):
        launch_poc(plan({"op": "echo"}, {"op": "give_up"}), loopback)
    assert len(rounds(loopback)) == 1


def test_a_class_that_the_kits_do_not_permit_never_runs(loopback: Loopback) -> None:
    with pytest.raises(FabricDown, match="FLARE ended the job"):
        launch_poc(plan({"op": "echo"}), replace(loopback, allowed=ALLOWED, retries=0))
    assert not loopback.run_folder.exists()
    logs = loopback.run_folder.with_name("echo-01234567.flare-logs") / "job-1"
    assert "is not in allow_list" in (logs / "localhost.log").read_text()


def test_sigterm_ends_everything(loopback: Loopback, tmp_path: Path) -> None:
    launcher = f"""
from pathlib import Path
from wardround.fabric.flare.poc import Loopback, launch_poc
from wardround.fabric.flare.job import JobClasses
loopback = Loopback({SITES!r}, Path({str(loopback.run_folder)!r}), classes={CLASSES!r},
                    allowed={loopback.allowed!r}, environment={loopback.environment!r})
launch_poc({plan({"op": "echo"}, {"op": "hang"})!r}, loopback, on_progress=lambda line: print(line, flush=True))
"""
    process = subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("{'call': 0")
    assert running(tmp_path)
    process.terminate()
    assert process.wait(20) == 143
    process.stdout.close()
    assert running(tmp_path) == []


def test_an_administrator_submits_to_a_provisioned_server(loopback: Loopback, tmp_path: Path) -> None:
    project = Project(
        "consortium",
        "localhost",
        free_port(),
        dict.fromkeys(SITES, "hospital"),
        server_folder=str(tmp_path / "server"),
        allowed=loopback.allowed,
    )
    kits = provision(project, tmp_path)
    environment = {RUNS: str(tmp_path), "WARDROUND_STORE": str(tmp_path), "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT": "5"}
    told: list[str] = []
    with Family(tmp_path / "logs") as family:
        (tmp_path / "logs").mkdir()
        for party in ("localhost", *SITES):
            family.start(party, kits / party, {**loopback.environment, **environment})
        consortium = Consortium(kits / project.admin, SITES, classes=CLASSES, connect_timeout_s=60.0)
        where = submit(plan({"op": "echo"}), "echo-01234567", consortium, tell=told.append)
    assert where == f"the run folder is echo-01234567 below {RUNS} on the server"
    assert json.loads((loopback.run_folder / "summary.json").read_text()) == {"status": "done"}
    assert any("FINISHED:COMPLETED" in line for line in told)
