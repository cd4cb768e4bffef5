"""``wardround report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    beside: Annotated[list[Path] | None, typer.Option(help="Further run folders to compare with.")] = None,
) -> None:
    """Make report.html again from a run folder, without training."""
    from wardround.report import write_report

    print(write_report(run, beside or []))
