"""The administrator's side: waiting for sites, quorum, and jobs that break."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wardround.errors import FabricDown, QuorumLost, RunFolderError
from wardround.fabric.flare import poc as flare_poc
from wardround.fabric.flare import session as flare_session
from wardround.fabric.flare import submit as flare_submit
from wardround.fabric.flare.job import Job, read_job
from wardround.fabric.flare.poc import Loopback
from wardround.fabric.flare.processes import Family
from wardround.fabric.flare.session import Session, admin_name, wait_for_sites
from wardround.fabric.flare.submit import Consortium, submit


class FakeServer:
    """A FLARE server as its administrator sees it: who is there, and how each job goes."""

    def __init__(self, sites: tuple[str, ...], statuses: tuple[tuple[str, ...], ...] = ()) -> None:
        self.sites = sites
        self.statuses = [list(one) for one in statuses]
        self.jobs: list[Job] = []
        self.deployed: list[list[str]] = []

    def get_connected_client_list(self) -> list[Any]:
        return [type("Client", (), {"name": name}) for name in self.sites]

    def submit_job(self, folder: str) -> str:
        self.jobs.append(read_job(Path(folder, "app", "config")))
        self.deployed.append(json.loads(Path(folder, "meta.json").read_text())["deploy_map"]["app"])
        return f"job-{len(self.jobs)}"

    def get_job_status(self, job_id: str) -> str:
        return self.statuses[len(self.jobs) - 1].pop(0)

    def close(self) -> None:
        raise ConnectionError("gone already")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flare_submit, "STATUS_EVERY_S", 0.0)
    monkeypatch.setattr(flare_session, "POLL_S", 0.0)


def serve(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    @contextlib.contextmanager
    def logged_in(kit: Path, timeout_s: float) -> Iterator[Session]:
        session = Session(server)
        yield session
        session.close()

    monkeypatch.setattr(flare_submit, "logged_in", logged_in)


def consortium(**fields: Any) -> Consortium:
    return Consortium(Path("kit"), ("a", "b", "c"), connect_timeout_s=0.02, **fields)


def test_a_job_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    server, told = FakeServer(("a", "b", "c", "other"), (("RUNNING", "RUNNING", "FINISHED:COMPLETED"),)), list[str]()
    serve(monkeypatch, server)
    where = submit("{}", "demo", consortium(), tell=told.append)
    assert where == "the run folder is demo below WARDROUND_RUNS on the server"
    assert server.deployed == [["server", "a", "b", "c"]]
    assert [line for line in told if "RUNNING" in line] == ["job job-1 is RUNNING"]
    assert told[1] == "submitted as job job-1"
    assert server.jobs == [Job("{}", "demo")]


def test_a_broken_job_is_followed_by_one_that_resumes_with_those_present(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer(("a", "b", "c"), (("FINISHED:ABORTED",), ("FINISHED:COMPLETED",)))
    serve(monkeypatch, server)

    def leaves(line: str) -> None:
        if "broke" in line:
            server.sites = ("a", "b")

    submit("{}", "demo", consortium(quorum=2), tell=leaves)
    assert [job.resume for job in server.jobs] == [False, True]
    assert server.deployed[1] == ["server", "a", "b"]
    assert server.jobs[1].mended[0].startswith("job 1 broke (FLARE ended job job-1 as FINISHED:ABORTED")
    assert server.jobs[1].mended[1] == "not connected, left out: c"


def test_retries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer(("a", "b", "c"), (("FINISHED:ABORTED",),) * 2)
    serve(monkeypatch, server)
    with pytest.raises(FabricDown, match="job-2 as FINISHED:ABORTED"):
        submit("{}", "demo", consortium(retries=1))
    assert len(server.jobs) == 2


def test_a_new_run_waits_for_every_site_whatever_the_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer(("a", "b"), ())
    serve(monkeypatch, server)
    with pytest.raises(QuorumLost, match=r"only 2 of 3 sites are connected, 3 are needed \(c missing\)"):
        submit("{}", "demo", consortium(quorum=2))
    assert server.jobs == []


def test_waiting_ends_when_the_missing_are_known_to_be_gone() -> None:
    session = Session(FakeServer(("a", "b")))
    assert wait_for_sites(session, frozenset("abc"), 60.0, lambda: frozenset("bc")) == frozenset("a")


def test_failures_of_flare_are_told_in_one_sentence() -> None:
    session = Session(FakeServer(("a",), ()))
    with pytest.raises(FabricDown, match="the FLARE server could not tell how the job stands"):
        session.status("job-1")
    session.close()


def test_an_administrators_kit_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no administrator's startup kit"):
        admin_name(tmp_path)
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "fed_admin.json").write_text('{"admin": {"username": "lead@x.org"}}')
    assert admin_name(tmp_path) == "lead@x.org"


@pytest.mark.parametrize(("quorum", "fewer"), [(2, False), (3, True), (None, True)])
def test_on_loopback_a_resumed_run_leaves_out_a_site_down_to_the_quorum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quorum: int | None, fewer: bool
) -> None:
    family = Family(tmp_path)
    monkeypatch.setattr(family, "ended", lambda: ("c",))
    monkeypatch.setattr(family, "forget", lambda party: None)
    loopback = Loopback(("a", "b", "c"), tmp_path / "run", quorum=quorum)
    first = flare_poc._Deployment(tmp_path, family, Job("{}", "run"), loopback)
    session = Session(FakeServer(("a", "b", "c")))
    with pytest.raises(FabricDown, match="could not be started: c"):
        first._with_those_present(session)
    again = flare_poc._Deployment(tmp_path, family, Job("{}", "run", True, ("job 1 broke",)), loopback)
    if fewer:
        with pytest.raises(QuorumLost, match="2 sites are fewer than the quorum"):
            again._with_those_present(session)
    else:
        job, sites = again._with_those_present(session)
        assert sites == ("a", "b")
        assert job.mended == ("job 1 broke", "could not be started: c; left out")


def test_on_loopback_a_site_has_an_environment_of_its_own(tmp_path: Path) -> None:
    loopback = Loopback(
        ("a", "b"),
        tmp_path / "run",
        environment={"SHARED": "yes", "WARDROUND_HOME": "everybody's"},
        site_environment={"a": {"WARDROUND_HOME": "a's", "WARDROUND_STORE": "elsewhere"}},
    )
    deployment = flare_poc._Deployment(tmp_path, Family(tmp_path), Job("{}", "run"), loopback)
    told = {party: deployment._environment(party) for party in ("a", "b", "localhost")}
    assert {party: one["WARDROUND_HOME"] for party, one in told.items()} == {
        "a": "a's",
        "b": "everybody's",
        "localhost": "everybody's",
    }
    assert {one["SHARED"] for one in told.values()} == {"yes"}
    assert {one["WARDROUND_STORE"] for one in told.values()} == {str(tmp_path)}, "the launcher follows that folder"


def test_on_loopback_jobs_that_break_are_followed_by_fresh_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []

    def one_job(job: Job, *_: object) -> None:
        jobs.append(job)
        (tmp_path / "run").mkdir(exist_ok=True)
        raise FabricDown(f"the server ended, {len(jobs)}")

    monkeypatch.setattr(flare_poc, "require_flare", lambda: None)
    monkeypatch.setattr(flare_poc, "_one_job", one_job)
    with pytest.raises(FabricDown, match="the server ended, 3; logs are in"):
        flare_poc.launch_poc("{}", Loopback(("a",), tmp_path / "run", retries=2))
    assert [job.resume for job in jobs] == [False, True, True]
    assert jobs[2].mended == (
        "job 1 broke (the server ended, 1); job 2 resumed the run",
        "job 2 broke (the server ended, 2); job 3 resumed the run",
    )
