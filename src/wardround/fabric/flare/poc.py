"""The whole of a FLARE deployment on one machine: real processes, real certificates, loopback only.

Not FLARE's own ``PocEnv``, which listens on every interface and takes half a minute: this is the path that a consortium
takes (provision, start each party from its kit, submit), shortened to one machine.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wardround.errors import FabricDown, QuorumLost, WardroundError
from wardround.fabric.flare.follow import JobStatus, NewLines, Progress, read_outcome, sigterm_unwinds
from wardround.fabric.flare.job import DATA, OUTCOME, RUNS, STORE, Job, JobClasses, check_site_names, export_job
from wardround.fabric.flare.processes import Family
from wardround.fabric.flare.project import ALLOWED, Project, provision, require_flare
from wardround.fabric.flare.session import Session, logged_in, wait_for_sites

SERVER = "localhost"
POLL_S = 0.1
CLIENT_OUTCOME_WAIT_S = 10


@dataclass(frozen=True)
class Loopback:
    """What a loopback deployment needs to know beside the plan.

    Attributes:
        sites: names of the sites.
        run_folder: where the coordinator writes; it makes the folder.
        data_root: where every site finds its images; ``None`` for embedded data.
        store_root: parent of ``<run>.sites``, where sites keep their own state; the run folder's parent by default.
        quorum: fewest sites to go on with when one cannot be started again; all of them by default.
        retries: how often a job that broke is followed by a fresh one.
        connect_timeout_s: how long parties may take to start and to connect.
        classes: which classes run inside FLARE.
        allowed: prefixes of classes that the kits permit.
        environment: further variables for every party.
        site_environment: site -> further variables for it alone, such as where it keeps its keys.
    """

    sites: tuple[str, ...]
    run_folder: Path
    data_root: Path | None = None
    store_root: Path | None = None
    quorum: int | None = None
    retries: int = 2
    connect_timeout_s: float = 90.0
    classes: JobClasses = field(default_factory=JobClasses)
    allowed: tuple[str, ...] = ALLOWED
    environment: Mapping[str, str] = field(default_factory=dict)
    site_environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """How a loopback run went.

    Attributes:
        mended: one sentence for each job that broke and was followed by another.
        start_s: seconds from the start of the last job's processes to the first line of the coordinator.
        run_s: seconds from then to its last.
    """

    mended: tuple[str, ...]
    start_s: float
    run_s: float


def launch_poc(
    plan_json: str, loopback: Loopback, resume: bool = False, on_progress: Progress = lambda _: None
) -> Finished:
    """Run a plan on real FLARE processes on this machine, and leave none of them behind.

    A job whose processes die is followed by a fresh one that resumes, up to ``loopback.retries`` times.

    Args:
        plan_json: the plan; its SHA-256 is what every site compares.
        loopback: sites, folders and limits.
        resume: whether the run folder exists and training goes on in it.
        on_progress: called with each new line of ``rounds.jsonl``.

    Raises:
        PlanError: a site has a name that FLARE cannot carry.
        RunError: NVIDIA FLARE is not installed, or the coordinator gave up; its own sentence.
        FabricDown: every attempt broke.
    """
    require_flare()
    check_site_names(loopback.sites)
    lines = NewLines(loopback.run_folder / "rounds.jsonl", on_progress, skip=resume)
    mended: tuple[str, ...] = ()
    for attempt in range(loopback.retries + 1):
        broken_off = attempt > 0 and loopback.run_folder.exists()
        job = Job(plan_json, loopback.run_folder.name, resume or broken_off, mended)
        try:
            return _one_job(job, loopback, lines)
        except FabricDown as error:
            if attempt == loopback.retries:
                raise FabricDown(f"{error}; logs are in {_logs(loopback)}") from error
            mended = (*mended, f"job {attempt + 1} broke ({error}); job {attempt + 2} resumed the run")
    raise FabricDown("the number of retries is negative; give 0 or more")


def free_port() -> int:
    """A TCP port that nobody listens on at 127.0.0.1 just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _one_job(job: Job, loopback: Loopback, lines: NewLines) -> Finished:
    workspace = Path(tempfile.mkdtemp(prefix="wardround-flare-"))
    with sigterm_unwinds(), Family(workspace) as family:
        try:
            return _Deployment(workspace, family, job, loopback).run(lines)
        except WardroundError:
            family.keep_logs(_logs(loopback) / f"job-{len(job.mended) + 1}")
            raise


def _logs(loopback: Loopback) -> Path:
    return loopback.run_folder.with_name(f"{loopback.run_folder.name}.flare-logs")


class _Deployment:
    """One server, its sites, and one job."""

    def __init__(self, workspace: Path, family: Family, job: Job, loopback: Loopback) -> None:
        self._workspace = workspace
        self._family = family
        self._job = job
        self._loopback = loopback
        self._outcome = workspace / "outcome.json"
        self._started = time.monotonic()

    def run(self, lines: NewLines) -> Finished:
        """Start everything, and follow the job to its end."""
        sites = dict.fromkeys(self._loopback.sites, "loopback")
        storage = str(self._workspace / "server")
        project = Project("loopback", SERVER, free_port(), sites, server_folder=storage, allowed=self._loopback.allowed)
        kits = provision(project, self._workspace)
        for party in (SERVER, *self._loopback.sites):
            self._family.start(party, kits / party, self._environment(party))
        limit_s = self._loopback.connect_timeout_s
        with logged_in(kits / project.admin, limit_s, self._require_server) as session:
            job, present = self._with_those_present(session)
            job_id = session.submit(export_job(job, present, self._workspace, self._loopback.classes))
            return self._follow(session, job_id, job, lines)

    def _environment(self, party: str) -> dict[str, str]:
        folder = self._loopback.run_folder.absolute()
        told = {
            RUNS: str(folder.parent),
            STORE: str((self._loopback.store_root or folder.parent).absolute()),
            OUTCOME: str(self._outcome),
            "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT": str(CLIENT_OUTCOME_WAIT_S),
        }
        if self._loopback.data_root is not None:
            told[DATA] = str(self._loopback.data_root.absolute())
        return {**self._loopback.environment, **self._loopback.site_environment.get(party, {}), **told}

    def _with_those_present(self, session: Session) -> tuple[Job, tuple[str, ...]]:
        """Wait for the sites; a resumed run goes on without those that cannot be started, down to the quorum."""
        wanted = frozenset(self._loopback.sites)
        there = wait_for_sites(session, wanted, self._loopback.connect_timeout_s, self._gone)
        missing = sorted(wanted - there)
        if not missing:
            return self._job, tuple(sorted(there))
        told = f"could not be started: {', '.join(missing)}"
        if not self._job.mended:
            raise FabricDown(told)
        if len(there) < (self._loopback.quorum or len(wanted)):
            raise QuorumLost(f"{told}; {len(there)} sites are fewer than the quorum, mend them and use --resume")
        for site in missing:
            self._family.forget(site)
        return replace(self._job, mended=(*self._job.mended, f"{told}; left out")), tuple(sorted(there))

    def _gone(self) -> frozenset[str]:
        self._require_server()
        return frozenset(self._family.ended())

    def _require_server(self) -> None:
        if SERVER in self._family.ended():
            raise FabricDown("the process of the FLARE server ended")

    def _follow(self, session: Session, job_id: str, job: Job, lines: NewLines) -> Finished:
        watch = JobStatus(session, job_id)
        begun = None
        while True:
            ended = self._family.ended()
            outcome = read_outcome(self._outcome)
            lines.poll()
            if begun is None and outcome is not None:
                begun = time.monotonic()
            if outcome is not None and outcome.ended:
                outcome.raise_failure()
                return Finished(job.mended, (begun or 0.0) - self._started, time.monotonic() - (begun or 0.0))
            if ended:
                raise FabricDown(f"the process of {', '.join(ended)} ended")
            watch.check()
            time.sleep(POLL_S)
