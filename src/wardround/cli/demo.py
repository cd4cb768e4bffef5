"""``wardround demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from wardround.study.demo import DemoResult


TABLE_COLUMNS = 150
"""A narrower terminal wraps the lines; intervals are not cut short."""


def demo(out: Annotated[Path, typer.Option(help="Folder for the run folders.")] = Path("runs")) -> None:
    """Train on the embedded slide: pooled, each site alone, and federated; then compare them."""
    from wardround.cli.progress import shown
    from wardround.report import write_report
    from wardround.study.demo import demo as run_demo

    result = run_demo(out, shown)
    _print_table(result)
    print(write_report(result.federated, result.yardsticks).resolve())


def _print_table(result: DemoResult) -> None:
    from rich.console import Console
    from rich.table import Table

    from wardround.study.folder import RunFolder

    named = zip(("central", "each site alone", "federated"), (*result.yardsticks, result.federated), strict=True)
    summaries = {name: RunFolder(path).summary() for name, path in named}
    tested = summaries["federated"]["tested"]["pooled"]
    table = Table(title=f"AUC on {tested['examples']} test patches in {tested['groups']} blocks, 95% intervals")
    sites = sorted(summaries["federated"]["sites"])
    for column in ("", "pooled", *sites):
        table.add_column(column)
    for name, summary in summaries.items():
        table.add_row(name, _auc(summary, "pooled"), *(_auc(summary, site) for site in sites))
    floor = result.floor
    table.add_row(f"floor: {floor['what']}", _interval(floor["auc"], floor["low"], floor["high"]), *("" for _ in sites))
    Console(width=max(Console().width, TABLE_COLUMNS)).print(table)


def _auc(summary: dict[str, Any], where: str) -> str:
    metrics, intervals = summary["metrics"], summary["intervals"]
    if where == "pooled":
        return _interval(metrics["pooled"]["auc"], *(intervals["pooled"]["auc"] or (None, None)))
    return _interval(metrics["sites"][where]["auc"], *(intervals["sites"][where]["auc"] or (None, None)))


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "-" if value is None else f"{value:.3f}"
    return f"{value:.3f} ({low:.3f}-{high:.3f})"
