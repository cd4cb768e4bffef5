"""``wardround leave-out``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wardround.cli.train import DATA_HELP


def leave_out(
    specs: Annotated[list[Path], typer.Argument(help="A plan; several on the same data are compared.")],
    out: Annotated[Path | None, typer.Option(help="Folder; runs/leave-out-<digest> if not given.")] = None,
    sites: Annotated[
        str, typer.Option(help="Sites to leave out, with commas between them; every site that trains if not given.")
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Replace the plans' seed.")] = None,
    data: Annotated[Path | None, typer.Option(envvar="WARDROUND_DATA", help=DATA_HELP)] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes; 0 trains in this one. One per core.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was stopped.")] = False,
) -> None:
    """How well would the model do at a hospital that took no part? Train without each site, and test there.

    One run for each plan and site, then one table: AUC at the sites that were left out, their mean, the worst. With
    several plans it names the one with the best mean. Sites that the plans themselves hold out stay out of the table:
    choose on the others first, and look at them once, in the end.

    The last line printed is the folder. It holds leave-out.json, leave-out.html and the run folders.
    """
    from dataclasses import replace

    from wardround.cli.progress import shown
    from wardround.report import write_leave_out
    from wardround.study import leave_out as study
    from wardround.study.spec import load

    plans = [plan if seed is None else replace(plan, seed=seed) for plan in map(load, specs)]
    folder = study.folder_of(plans, out)
    names = [name for name in (part.strip() for part in sites.split(",")) if name]
    table = study.leave_out(plans, folder, data, names, resume, workers, shown)
    print(write_leave_out(table))
    print(folder)
