"""Runs a plan from its data to its run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.errors import PlanError, WardroundError
from wardround.fabric.base import Fabric
from wardround.fabric.local import LocalFabric
from wardround.fabric.workers import WorkerFabric
from wardround.metrics.measures import joined
from wardround.rounds.coordinator import Coordinator, RunResult
from wardround.rounds.listener import Listener, Silent
from wardround.rounds.model_file import MODEL_FILE, model_file
from wardround.rounds.pictures import by_place
from wardround.rounds.plan import Plan
from wardround.study.build import dealt, make_opener, opener_for
from wardround.study.folder import RunFolder
from wardround.study.malice import successes
from wardround.study.marks import DEPARTURE_FILE, marks_left
from wardround.study.simulation import introduce_sites
from wardround.study.spec import from_json, to_json
from wardround.study.summary import failed, summarise
from wardround.study.synthetic import SHEET_FILE, sheet
from wardround.tasks import Synthesis

PICTURES = "pictures.safetensors"


def folder_of(plan: Plan, out: Path | None) -> Path:
    """Return the run folder of a plan: `out`, or ``runs/<name>-<8 hex of the digest>``."""
    return out or Path("runs") / f"{plan.name}-{plan.digest()[:8]}"


def train(
    plan: Plan,
    out: Path | None = None,
    data_root: Path | None = None,
    resume: bool = False,
    workers: int | None = None,
    encoded: bool = False,
    listener: Listener | None = None,
) -> Path:
    """Train on this machine.

    Args:
        plan: what to run.
        out: the run folder; see `folder_of`.
        data_root: where sources look for their files.
        resume: go on with a run that was stopped; one that is done stays as it is.
        workers: worker processes; 0 trains in this process, ``None`` takes one per core, but no more than sites.
        encoded: pass messages through the wire format also without workers.
        listener: is told of progress.

    Returns:
        The run folder.

    Raises:
        InputError: the plan, the data or the folder cannot be used; nothing was written.
        RunError: the run stopped; the folder holds everything up to its last round.
    """
    plan.check()
    path = folder_of(plan, out)
    folder = RunFolder(path)
    if folder.is_settled(plan, resume):
        if plan.pipeline.opens_at_sites:
            folder.take_model()
        return path
    sites, probe = dealt(plan, data_root)
    names = list(sites)
    if plan.timeout_s and workers == 0:
        raise PlanError("timeout_s cannot be kept without worker processes: give --workers 1 or more, or remove it")
    if workers is None:
        workers = min(os.cpu_count() or 1, len(names)) if len(names) > 1 or plan.timeout_s else 0
    if plan.needs_keys:
        introduce_sites(folder.store_root, names)
    fabric: Fabric
    if workers:
        root = str(data_root) if data_root else None
        fabric = WorkerFabric(names, partial(make_opener, to_json(plan), root, str(folder.store_root)), workers)
    else:
        fabric = LocalFabric(names, opener_for(plan, sites, folder.store_root, data_root), encoded)
    try:
        run_plan(plan, fabric, path, resume, listener or Silent(), data_root, probe, sites)
    finally:
        fabric.close()
    if plan.pipeline.opens_at_sites:
        folder.take_model()
    return path


def run_plan(
    plan: Plan,
    fabric: Fabric,
    path: Path,
    resume: bool,
    listener: Listener,
    data_root: Path | None = None,
    probe: LabelledImages | None = None,
    sites: Mapping[str, SiteData] = MappingProxyType({}),
) -> None:
    """Run a plan over any fabric and fill its run folder; weights to start from are sought below `data_root`.

    Images of the coordinator's own, where the plan has a ``[probe]``, are `probe`. A simulation gives its `sites`, to
    measure what the attacks in it came to.

    Raises:
        WardroundError: the run stopped; ``summary.json`` says why, and ``resume`` goes on with it.
    """
    start = plan.starting_weights(data_root)
    folder = RunFolder.create(path, plan, resume)
    try:
        result = Coordinator(plan, fabric, folder, listener, start, probe).run()
    except WardroundError as error:
        folder.write_summary(failed(plan, str(error)))
        raise
    attacked = successes(plan, sites, result.task, {} if result.personal else result.weights)
    marks, departed = marks_left(plan, sites, result.task, result.weights)
    if departed:
        folder.write_tensors(DEPARTURE_FILE, departed, {})
    _write(
        folder, plan, result, {**({"attacks": attacked} if plan.attacks else {}), **({"marks": marks} if marks else {})}
    )


def run_on_fabric(plan_json: str, fabric: Fabric, run_folder: str, resume: bool) -> None:
    """Run a plan that came as text: the entry point of a distributed engine's server process."""
    plan, path = from_json(plan_json), Path(run_folder)
    if not RunFolder(path).is_settled(plan, resume):
        root = os.environ.get("WARDROUND_DATA")
        data_root = Path(root) if root else None
        probe = dealt(plan, data_root)[1] if plan.probe else None
        run_plan(plan, fabric, path, resume, Silent(), data_root, probe)


def _write(folder: RunFolder, plan: Plan, result: RunResult, told: Mapping[str, Any]) -> None:
    model_sha256 = result.model_sha256
    if result.weights:
        content = model_file(result.weights, result.task, result.personal)
        model_sha256 = folder.write_file(MODEL_FILE, content)
    predictions = _predictions(result)
    if predictions:
        folder.write_tensors("predictions.safetensors", predictions, {"sites": "\n".join(result.test.sites)})
    if isinstance(result.task, Synthesis) and result.weights:
        folder.write_tensors(SHEET_FILE, sheet(result.task, plan.seed, result.weights), {})
    if pictures := by_place(result.test.sites):
        folder.write_tensors(PICTURES, pictures, {"sites": "\n".join(result.test.sites)})
    folder.write_summary({**summarise(plan, result, model_sha256), **told})
    folder.drop_checkpoint()


def _predictions(result: RunResult) -> Tensors:
    """Return what was said of each test image, site after site; empty unless all sites shared theirs."""
    outcomes = [test.outcome for test in result.test.sites.values()]
    shared = [outcome for outcome in outcomes if outcome is not None]
    if not shared or len(shared) < len(outcomes):
        return {}
    measures = result.task.measures
    columns = measures.columns(joined(measures, shared))
    if "probabilities" in columns:
        columns["probabilities"] = np.asarray(columns["probabilities"], np.float32)
    return {
        **columns,
        "groups": np.unique(np.concatenate([outcome.groups for outcome in shared]), return_inverse=True)[1],
        "sites": np.repeat(np.arange(len(shared)), [len(found) for found in shared]),
    }
