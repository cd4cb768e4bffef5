"""Where a plan runs: on this machine, on FLARE over loopback, or on a consortium's FLARE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from wardround.errors import PlanError
from wardround.rounds.listener import Listener
from wardround.rounds.model_file import MODEL_FILE
from wardround.rounds.plan import Plan
from wardround.rounds.record import RoundRecord
from wardround.study.build import sites_of
from wardround.study.folder import RunFolder
from wardround.study.rehearsal import set_up_sites
from wardround.study.run import folder_of, train
from wardround.study.spec import to_json

Engine = Callable[[Plan, Path | None, Path | None, bool, Listener], Path]
"""``(plan, out, data_root, resume, listener) -> run folder``"""


def choose(name: str, workers: int | None) -> Engine:
    """Return the engine of that name.

    Raises:
        PlanError: there is no such engine.
    """
    engines: dict[str, Engine] = {"local": partial(_local, workers), "flare-poc": _flare_poc}
    if name not in engines:
        raise PlanError(f"--engine {name} is unknown: choose from {', '.join(engines)} and flare")
    return engines[name]


def _local(
    workers: int | None, plan: Plan, out: Path | None, data_root: Path | None, resume: bool, listener: Listener
) -> Path:
    return train(plan, out, data_root, resume, workers, listener=listener)


def _flare_poc(plan: Plan, out: Path | None, data_root: Path | None, resume: bool, listener: Listener) -> Path:
    from wardround.fabric.flare.poc import Loopback, launch_poc

    plan.check(deployed=bool(plan.attacks))  # also over loopback: sites there are deployed ones
    path = folder_of(plan, out).absolute()
    folder = RunFolder(path)
    if not folder.is_settled(plan, resume):
        names = tuple(sites_of(plan, data_root))
        path.parent.mkdir(parents=True, exist_ok=True)
        loopback = Loopback(
            names,
            path,
            data_root.absolute() if data_root else None,
            quorum=plan.quorum or None,
            site_environment=set_up_sites(plan, folder.store_root, names),
        )
        launch_poc(to_json(plan), loopback, resume, lambda line: listener.completed(RoundRecord.from_json(line)))
    if plan.pipeline.opens_at_sites:
        folder.take_model()
    return path


def submit_to_consortium(
    plan: Plan,
    out: Path | None,
    admin_kit: Path | None,
    sites: Sequence[str],
    resume: bool,
    tell: Callable[[str], None],
) -> str:
    """Run a plan on a provisioned FLARE project; see ``docs/how-to/deploy-on-flare.md``.

    Args:
        plan: what to run; its digest is what each site's operator approves.
        out: only its name counts: the run folder lies on the consortium's server.
        admin_kit: folder of the administrator's startup kit.
        sites: names of the sites that take part.
        resume: go on in a run folder that the server holds already.
        tell: is given a sentence whenever something changes.

    Returns:
        One sentence that says where the run folder lies, and the model where it does not lie there.

    Raises:
        PlanError: the kit or the sites are not named, or the plan is refused.
        RunError: see `fabric.flare.submit.submit`.
    """
    from wardround.fabric.flare.submit import Consortium, submit

    plan.check(deployed=bool(plan.attacks))
    if admin_kit is None or not sites:
        raise PlanError("--engine flare needs --admin-kit FOLDER and --site NAME for every site that takes part")
    consortium = Consortium(admin_kit, tuple(sites), quorum=plan.quorum or None)
    run = folder_of(plan, out).name
    where = submit(to_json(plan), run, consortium, resume, tell)
    if not plan.pipeline.opens_at_sites:
        return where
    return f"{where}; the model lies at each site, {run}.sites/SITE/{MODEL_FILE} below WARDROUND_STORE"
