"""Runs a plan on a consortium's own FLARE server, as its administrator, over the network.

Nothing is downloaded: the run folder lies on the server. When the administrator's terminal goes, the job goes on.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from wardround.errors import FabricDown, QuorumLost
from wardround.fabric.flare.job import RUNS, Job, JobClasses, check_site_names, export_job
from wardround.fabric.flare.session import Session, logged_in, wait_for_sites

STATUS_EVERY_S = 2.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Consortium:
    """A provisioned project, as its administrator reaches it.

    Attributes:
        admin_kit: the administrator's startup kit.
        sites: names of the sites that take part.
        quorum: fewest sites that a *resumed* run goes on with; all of them by default. A new run waits for all.
        retries: how often a job that broke is followed by a fresh one.
        connect_timeout_s: how long to wait for the server, and then for the sites.
        classes: which classes run inside FLARE; every party's kit must permit them.
    """

    admin_kit: Path
    sites: tuple[str, ...]
    quorum: int | None = None
    retries: int = 2
    connect_timeout_s: float = 600.0
    classes: JobClasses = field(default_factory=JobClasses)


def submit(plan_json: str, run: str, consortium: Consortium, resume: bool = False, tell: Tell = lambda _: None) -> str:
    """Run a plan on the consortium's server, and follow it to its end.

    Args:
        plan_json: the plan; its SHA-256 is what every site compares.
        run: name of the run folder.
        consortium: whom to reach, and how.
        resume: whether the run folder exists on the server and training goes on in it.
        tell: called with one sentence whenever something changed.

    Returns:
        One sentence that says where the run folder lies.

    Raises:
        PlanError: a site or the run has a name that FLARE cannot carry.
        RunFolderError: ``consortium.admin_kit`` is no administrator's kit.
        QuorumLost: too few sites are connected.
        RunError: NVIDIA FLARE is not installed.
        FabricDown: the server could not be reached, or every job broke.
    """
    check_site_names(consortium.sites)
    mended: tuple[str, ...] = ()
    for attempt in range(consortium.retries + 1):
        try:
            _one_job(Job(plan_json, run, resume or attempt > 0, mended), consortium, tell)
        except FabricDown as error:
            if attempt == consortium.retries:
                raise
            mended = (*mended, f"job {attempt + 1} broke ({error}); job {attempt + 2} resumed the run")
            tell(mended[-1])
        else:
            return f"the run folder is {run} below {RUNS} on the server"
    raise FabricDown("the number of retries is negative; give 0 or more")


def _one_job(job: Job, consortium: Consortium, tell: Tell) -> None:
    with logged_in(consortium.admin_kit, consortium.connect_timeout_s) as session:
        present = _present(session, job, consortium, tell)
        missing = sorted(set(consortium.sites) - set(present))
        if missing:
            job = replace(job, mended=(*job.mended, f"not connected, left out: {', '.join(missing)}"))
        with tempfile.TemporaryDirectory(prefix="wardround-job-") as folder:
            job_id = session.submit(export_job(job, present, Path(folder), consortium.classes))
        tell(f"submitted as job {job_id}")
        _follow(session, job_id, tell)


def _present(session: Session, job: Job, consortium: Consortium, tell: Tell) -> tuple[str, ...]:
    wanted = frozenset(consortium.sites)
    tell(f"waiting for {len(wanted)} sites to connect")
    there = wait_for_sites(session, wanted, consortium.connect_timeout_s)
    needed = consortium.quorum or len(wanted) if job.resume else len(wanted)
    if len(there) < needed:
        missing = ", ".join(sorted(wanted - there))
        raise QuorumLost(
            f"only {len(there)} of {len(wanted)} sites are connected, {needed} are needed ({missing} missing)"
        )
    return tuple(sorted(there))


def _follow(session: Session, job_id: str, tell: Tell) -> None:
    last = ""
    while True:
        status = session.status(job_id)
        if status != last:
            tell(f"job {job_id} is {status}")
        if status == "FINISHED:COMPLETED":
            return
        if status.startswith("FINISHED"):
            raise FabricDown(f"FLARE ended job {job_id} as {status}; the log on the server says why")
        last = status
        time.sleep(STATUS_EVERY_S)
