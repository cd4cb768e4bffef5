"""A run as a FLARE job: configuration only, no code.

```text
<job>/meta.json                       which sites
<job>/app/config/config_fed_server.json, config_fed_client.json      which classes of this package
<job>/app/config/plan.json            the plan, byte for byte
<job>/app/config/wardround.json       digest of the plan, name of the run, whether it resumes
```

Paths never travel: each party's operator sets them in that party's environment (`DATA`, `STORE`, `RUNS`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wardround.errors import PlanError

DATA = "WARDROUND_DATA"
"""Environment of a site: where its images lie."""
STORE = "WARDROUND_STORE"
"""Environment of a site: where it keeps its own state between rounds and runs."""
RUNS = "WARDROUND_RUNS"
"""Environment of the server: where run folders go."""
OUTCOME = "WARDROUND_OUTCOME"
"""Environment of the server, set by the loopback launcher: the file that tells how the job ended."""

SYNC_TIMEOUT_S = 300
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SITE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class JobClasses:
    """Which classes run inside FLARE.

    Attributes:
        site: import path of the site's class.
        coordinator: import path of the server's class.
    """

    site: str = "wardround.fabric.flare.app.SiteApp"
    coordinator: str = "wardround.fabric.flare.app.CoordinatorApp"


@dataclass(frozen=True)
class Job:
    """One attempt at a run.

    Attributes:
        plan_json: the plan, as it is digested.
        run: name of the run folder.
        resume: whether the run folder exists and training goes on in it.
        mended: sentences about earlier attempts, which the coordinator writes into ``rounds.jsonl``.
    """

    plan_json: str
    run: str
    resume: bool = False
    mended: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a run name that could leave the folder of runs."""
        if not _RUN_NAME.fullmatch(self.run):
            raise PlanError(f"{self.run!r} cannot name a run folder: use letters, digits, '.', '_' and '-'")

    @property
    def digest(self) -> str:
        """SHA-256 of the plan as it travels, in hex; not the plan's own digest, which is of its meaning."""
        return plan_digest(self.plan_json)


def plan_digest(plan_json: str) -> str:
    """SHA-256 of a plan's bytes, in hex: each party compares what came with what was sent."""
    return hashlib.sha256(plan_json.encode()).hexdigest()


def export_job(job: Job, sites: Sequence[str], folder: Path, classes: JobClasses | None = None) -> Path:
    """Write `job` for `sites` below `folder`.

    Returns:
        The job's folder, which FLARE submits.

    Raises:
        PlanError: a site's name is none that FLARE can carry.
    """
    check_site_names(sites)
    classes = classes or JobClasses()
    root = folder / "wardround-job"
    config = root / "app" / "config"
    config.mkdir(parents=True)
    _write(root / "meta.json", _meta(job.run, sites))
    _write(config / "config_fed_server.json", _server_config(classes.coordinator))
    _write(config / "config_fed_client.json", _site_config(classes.site))
    _write(config / "wardround.json", {**asdict(job), "digest": job.digest} | {"plan_json": "plan.json"})
    (config / "plan.json").write_bytes(job.plan_json.encode())
    return root


def read_job(config: Path) -> Job:
    """Read a job back at one of its parties.

    Raises:
        PlanError: the plan is not the one whose digest the job names, or the job is malformed.
    """
    try:
        told = json.loads((config / "wardround.json").read_bytes())
        job = Job((config / "plan.json").read_bytes().decode(), told["run"], told["resume"], tuple(told["mended"]))
        digest = told["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"the FLARE job holds no readable plan: {error}") from None
    if job.digest != digest:
        raise PlanError(f"the plan in the FLARE job has digest {job.digest[:8]}, the job names {str(digest)[:8]}")
    return job


def check_site_names(sites: Sequence[str]) -> None:
    """Refuse names that FLARE cannot give to a site.

    Raises:
        PlanError: a name is too long or has other characters, or occurs twice.
    """
    for site in sites:
        if not _SITE_NAME.fullmatch(site) or site == "server":
            raise PlanError(f"FLARE cannot carry a site named {site!r}: use up to 64 letters, digits, '_' and '-'")
    if len(set(sites)) != len(sites):
        raise PlanError("two sites have the same name")


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def _meta(name: str, sites: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "resource_spec": {},
        "min_clients": len(sites),
        "deploy_map": {"app": ["server", *sites]},
    }


def _server_config(coordinator: str) -> dict[str, Any]:
    controller = {
        "id": "controller",
        "path": "nvflare.collab.runtime.controller.CollabController",
        "args": {"server_obj_id": "_server", "collab_obj_ids": [], "props": {}, "sync_task_timeout": SYNC_TIMEOUT_S},
    }
    return _config(coordinator, "_server") | {"workflows": [controller]}


def _site_config(site: str) -> dict[str, Any]:
    executor = {
        "path": "nvflare.collab.runtime.executor.CollabExecutor",
        "args": {"client_obj_id": "_client", "collab_obj_ids": [], "props": {}},
    }
    return _config(site, "_client") | {"executors": [{"tasks": ["*"], "executor": executor}]}


def _config(path: str, name: str) -> dict[str, Any]:
    return {
        "format_version": 2,
        "components": [{"id": name, "path": path, "args": {}}],
        "task_data_filters": [],
        "task_result_filters": [],
    }
