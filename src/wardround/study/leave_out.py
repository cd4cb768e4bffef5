"""Leave one hospital out: train without each site in turn, and test on all that it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wardround.core.files import write_atomically
from wardround.data.images import LabelledImages
from wardround.data.sites import partition
from wardround.errors import DataError, PlanError, RunFolderError
from wardround.metrics.intervals import worst_of
from wardround.rounds.listener import Listener
from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.run import train

TABLE = "leave-out.json"
SCHEMA_VERSION = 1
Shown = Callable[[Plan, str], AbstractContextManager[Listener]]
"""Shows one run's progress under a title."""


@dataclass(frozen=True)
class Turn:
    """One run of a leave-one-out.

    Attributes:
        plan: with the site held out.
        site: which is left out.
        folder: of the run.
    """

    plan: Plan
    site: str
    folder: Path


def without(plan: Plan, site: str) -> Plan:
    """Return the plan with one more site held out."""
    held_out = (*plan.data.sites.held_out, site)
    return replace(plan, data=replace(plan.data, sites=replace(plan.data.sites, held_out=held_out)))  # type: ignore[type-var]


def folder_of(plans: Sequence[Plan], out: Path | None) -> Path:
    """Return where the runs lie: `out`, or ``runs/leave-out-<8 hex of the plans' digests>``."""
    digest = hashlib.sha256("".join(plan.digest() for plan in plans).encode()).hexdigest()
    return out or Path("runs") / f"leave-out-{digest[:8]}"


def turns_of(
    plans: Sequence[Plan], out: Path, data_root: Path | None, sites: Sequence[str] = ()
) -> tuple[list[Turn], dict[str, str]]:
    """Say which runs a leave-one-out has; nothing is trained.

    Args:
        plans: that are compared; with one there is nothing to choose.
        out: folder of the runs.
        data_root: where sources look for their files.
        sites: to leave out; none takes every site that trains.

    Returns:
        The runs, plan after plan; and site -> why it cannot be left out.

    Raises:
        PlanError: the plans differ in their data or share a name, or a site does not train.
        DataError: the images cannot be used, or no site can be left out.
    """
    _refuse_unlike(plans)
    images = plans[0].data.source.load(data_root)
    names = _trainers(plans[0], images)
    strange = [site for site in sites if site not in names]
    if strange:
        raise PlanError(f"site {strange[0]!r} does not train in {plans[0].name}: choose from {', '.join(names)}")
    refused: dict[str, str] = {}
    for site in sites or names:
        try:
            for plan in (without(plan, site) for plan in plans):
                plan.check(1 if plan.composed().pooled else len(_trainers(plan, images)))
        except (DataError, PlanError) as error:
            refused[site] = str(error)
    left = [site for site in sites or names if site not in refused]
    if not left:
        reasons = "; ".join(f"{site}: {reason}" for site, reason in refused.items())
        raise DataError(f"no site can be left out ({reasons})")
    return [Turn(without(plan, site), site, out / plan.name / f"without-{site}") for plan in plans for site in left], (
        refused
    )


def leave_out(
    plans: Sequence[Plan],
    out: Path,
    data_root: Path | None = None,
    sites: Sequence[str] = (),
    resume: bool = False,
    workers: int | None = None,
    shown: Shown | None = None,
) -> Path:
    """Train every turn that is not done, and write the table.

    With `sites` held out by the plans themselves kept for later, this is the inner loop of a nested choice: they are
    tested on, as every site is, but no number of theirs enters the table.

    Args:
        plans: see `turns_of`.
        out: folder of the runs.
        data_root: see `turns_of`.
        sites: see `turns_of`.
        resume: go on with runs that were stopped; those that are done stay as they are.
        workers: see `run.train`.
        shown: see `Shown`.

    Returns:
        The path of the table, ``leave-out.json``.

    Raises:
        InputError: see `turns_of`; or the folder is there and `resume` is off.
        RunError: a run stopped; all that was done is kept.
    """
    turns, refused = turns_of(plans, out, data_root, sites)
    if out.exists() and not resume:
        raise RunFolderError(f"{out} exists: add --resume to go on with it, or choose another --out")
    for number, turn in enumerate(turns, start=1):
        if RunFolder(turn.folder).path.exists() and RunFolder(turn.folder).is_settled(turn.plan, resume=True):
            continue
        if shown is None:
            train(turn.plan, turn.folder, data_root, True, workers)
            continue
        with shown(turn.plan, f"{turn.plan.name} without {turn.site} ({number}/{len(turns)})") as listener:
            train(turn.plan, turn.folder, data_root, True, workers, listener=listener)
    path = out / TABLE
    write_atomically(path, (json.dumps(table_of(plans, turns, refused, out), indent=2) + "\n").encode())
    return path


def table_of(plans: Sequence[Plan], turns: Sequence[Turn], refused: Mapping[str, str], out: Path) -> dict[str, Any]:
    """Return what the runs say of the sites that were left out, and of no other.

    ``chosen`` is the plan with the highest mean AUC over the sites that were left out, where there is more than one.
    """
    rows: list[dict[str, Any]] = []
    for plan in plans:
        own = [turn for turn in turns if turn.folder.parent.name == plan.name]
        sites = {turn.site: _of_turn(turn, out) for turn in own}
        values = {site: found["metrics"] for site, found in sites.items()}
        rows.append(
            {
                "name": plan.name,
                "plan_digest": plan.digest(),
                "sites": sites,
                "mean": _means(values),
                "worst": {name: {"site": s, "value": v} for name, (s, v) in worst_of(values).items()},
            }
        )
    defined = [row for row in rows if row["mean"].get("auc") is not None]
    best = max(defined, key=lambda row: float(row["mean"]["auc"]), default=None)
    return {
        "schema": SCHEMA_VERSION,
        "kept_for_later": list(plans[0].data.sites.held_out),
        "not_left_out": dict(refused),
        "plans": rows,
        "chosen": best["name"] if best is not None and len(rows) > 1 else None,
    }


def _of_turn(turn: Turn, out: Path) -> dict[str, Any]:
    summary = RunFolder(turn.folder).summary()
    if turn.site not in summary["metrics"]["sites"]:
        raise RunFolderError(
            f"{turn.folder} has no test of {turn.site} ({summary['not_tested'].get(turn.site, 'it is not named')}): "
            "remove the folder and go on with --resume"
        )
    return {
        "run": turn.folder.relative_to(out).as_posix(),
        "metrics": summary["metrics"]["sites"][turn.site],
        "intervals": summary["intervals"]["sites"][turn.site],
        "tested": summary["tested"]["sites"][turn.site],
        "personal": len(summary["personal"]),
    }


def _means(values: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    """Average each metric over the sites; one that is undefined at a site has no mean."""
    names = next(iter(values.values())).keys()
    found = {name: [values[site][name] for site in values] for name in names}
    return {name: None if None in each else float(np.mean(each)) for name, each in found.items()}  # type: ignore[arg-type]


def _trainers(plan: Plan, images: LabelledImages) -> list[str]:
    dealt = partition(images, plan.data.sites, plan.data.parts, plan.data.split_seed)
    return [site for site, data in dealt.items() if len(data.train)]


def _refuse_unlike(plans: Sequence[Plan]) -> None:
    if not plans:
        raise PlanError("there is no plan to leave a site out of: give at least one")
    names = [plan.name for plan in plans]
    if len(set(names)) < len(names):
        raise PlanError(f"two plans are called {max(names, key=names.count)}: each needs a name of its own")
    for plan in plans[1:]:
        if plan.data != plans[0].data:
            raise PlanError(f"{plans[0].name} and {plan.name} differ in [data]: compare plans on the same images")
