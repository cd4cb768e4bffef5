"""``wardround train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SPEC_HELP = "A plan: .toml, or the five-key .json."
DATA_HELP = "Folder in which data sources look for their files."


def train(
    spec: Annotated[Path, typer.Argument(help=SPEC_HELP, show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/<name>-<digest> if not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Replace the plan's seed.")] = None,
    data: Annotated[Path | None, typer.Option(envvar="WARDROUND_DATA", help=DATA_HELP)] = None,
    engine: Annotated[str, typer.Option(help="local, flare-poc (real processes on loopback) or flare.")] = "local",
    admin_kit: Annotated[
        Path | None, typer.Option(help="With --engine flare: the administrator's startup kit.")
    ] = None,
    site: Annotated[list[str] | None, typer.Option(help="With --engine flare: a site that takes part; repeat.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="With --engine local: worker processes; 0 trains in this one. One per core."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Train a plan's sites together; the last line printed is the run folder.

    The run folder holds plan.toml, rounds.jsonl, model.safetensors, summary.json and report.html. With --engine flare
    it lies on the consortium's server, and the last line says where.
    """
    from dataclasses import replace

    from wardround.cli.progress import shown
    from wardround.report import write_report
    from wardround.study import engines
    from wardround.study.spec import load

    plan = load(spec)
    if seed is not None:
        plan = replace(plan, seed=seed)
    if engine == "flare":
        print(engines.submit_to_consortium(plan, out, admin_kit, site or [], resume, tell=typer.echo))
        return
    with shown(plan) as listener:
        run = engines.choose(engine, workers)(plan, out, data, resume, listener)
    write_report(run)
    print(run)
