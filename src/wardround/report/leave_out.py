"""The page of a leave-one-out: what a model is worth at a hospital that took no part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wardround.core.files import write_atomically
from wardround.errors import RunFolderError
from wardround.metrics.intervals import Estimate
from wardround.report.drawing import INK, MUTED, PALETTE, Panel, draw, legend_below
from wardround.report.page import write_report
from wardround.report.results import Bars
from wardround.report.tables import Cell
from wardround.report.words import METRICS, UNDEFINED, decimal, interval, listed, name_of, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
SHOWN = ("auc", "auc_malignant", "balanced_accuracy", "calibration_error")
CHANCE = 0.5


def write_leave_out(table: Path) -> str:
    """Write ``leave-out.html`` beside ``leave-out.json`` from that file alone, and each run's own report.

    Args:
        table: path of ``leave-out.json``.

    Returns:
        The same table as text.

    Raises:
        RunFolderError: the file is missing or damaged, or a run folder beside it.
    """
    from jinja2 import Environment, StrictUndefined

    found = _read(table)
    folder = files("wardround.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((folder / "leave_out.html").read_text(encoding="utf-8"))
    try:
        tables = [(name_of(METRICS, metric), _head(found), _rows(found, metric)) for metric in _metrics(found)]
        context = {
            "found": found,
            "style": (folder / "style.css").read_text(encoding="utf-8"),
            "tables": tables,
            "bars": [_bars(found, metric) for metric in _metrics(found)[:2]],
            "classes": _classes(found),
            "untrained": [plan["name"] for plan in found["plans"] if _personal(plan)],
        }
        page = template.render(context)
        text = _as_text(found, tables)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RunFolderError(f"{table} is damaged ({type(error).__name__}: {error}): make it again") from None
    for plan in found["plans"]:
        for said in plan["sites"].values():
            write_report(table.parent / str(said["run"]))
    write_atomically(table.with_suffix(".html"), page.encode("utf-8", errors="replace"))
    return text


def _read(table: Path) -> dict[str, Any]:
    try:
        found = json.loads(table.read_bytes())
    except OSError as error:
        raise RunFolderError(f"{table} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RunFolderError(f"{table} is damaged: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA_VERSION or not found.get("plans"):
        raise RunFolderError(f"{table} is no table of a leave-one-out: wardround leave-out writes it")
    return found


def _sites(found: Mapping[str, Any]) -> list[str]:
    return list(found["plans"][0]["sites"])


def _metrics(found: Mapping[str, Any]) -> list[str]:
    known = found["plans"][0]["sites"][_sites(found)[0]]["metrics"]
    return [metric for metric in SHOWN if metric in known]


def _head(found: Mapping[str, Any]) -> list[str]:
    return [*_sites(found), "mean", "worst"]


def _rows(found: Mapping[str, Any], metric: str) -> list[tuple[str, list[Cell]]]:
    rows = []
    for plan in found["plans"]:
        cells = [_cell(_estimate(plan, site, metric)) for site in _sites(found)]
        worst = plan["worst"].get(metric)
        last = Cell(UNDEFINED) if worst is None else Cell(decimal(worst["value"]), str(worst["site"]))
        rows.append((str(plan["name"]), [*cells, Cell(decimal(plan["mean"][metric])), last]))
    return rows


def _estimate(plan: Mapping[str, Any], site: str, metric: str) -> Estimate:
    said = plan["sites"][site]
    return Estimate(said["metrics"][metric], *(said["intervals"][metric] or (None, None)))


def _cell(estimate: Estimate) -> Cell:
    return Cell(decimal(estimate.value), interval(estimate))


def _personal(plan: Mapping[str, Any]) -> bool:
    return any(said["personal"] for said in plan["sites"].values())


def _classes(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the classes that count at each site: those that enough patients or lesions show."""
    first = found["plans"][0]["sites"]
    return [(site, listed(first[site]["tested"]["auc_classes"], 30) or "none") for site in first]


def _bars(found: Mapping[str, Any], metric: str) -> Panel:
    label, sites, plans = name_of(METRICS, metric), _sites(found), found["plans"]
    alt = f"{label} at sites that were left out. " + " ".join(
        f"{plan['name']}: " + ", ".join(f"{s} {decimal(_estimate(plan, s, metric).value)}" for s in sites) + "."
        for plan in plans
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        step = 0.8 / len(plans)
        for index, plan in enumerate(plans):
            offset = (index - (len(plans) - 1) / 2) * step
            bars = Bars(str(plan["name"]), PALETTE[index % len(PALETTE)], offset, step * 0.86, CHANCE)
            bars.draw(axes, [_estimate(plan, site, metric) for site in sites])
        axes.set_yticks(range(len(sites)), [shortened(site) for site in sites], color=INK)
        axes.set_ylim(len(sites) - 0.5, -0.5)
        axes.axvline(CHANCE, color=MUTED, linewidth=1)
        axes.set_xlabel(f"{label} where the site is left out")
        axes.grid(visible=False, axis="y")
        if len(plans) > 1:
            legend_below(figure, axes)

    height = 1.2 + len(sites) * max(0.3, 0.2 * len(plans)) + 0.2 * (len(plans) // 3)
    caption = (
        "Every image of the site is a test image. Lines are 95 % intervals (bootstrap of whole patients or lesions)."
    )
    return Panel(f"{label} at the hospital left out", caption, draw(f"left-{metric}", alt, height, paint))


def _as_text(
    found: Mapping[str, Any], tables: Sequence[tuple[str, Sequence[str], Sequence[tuple[str, list[Cell]]]]]
) -> str:
    lines: list[str] = []
    for title, head, rows in tables[:2]:
        width = max(len(title), *(len(name) for name, _ in rows))
        columns = [max(len(name), 5) for name in head]
        lines.append("  ".join([title.ljust(width), *(n.rjust(c) for n, c in zip(head, columns, strict=True))]))
        for name, cells in rows:
            values = (cell.value.rjust(c) for cell, c in zip(cells, columns, strict=True))
            lines.append("  ".join([name.ljust(width), *values]))
        lines.append("")
    lines += [f"{site} cannot be left out: {reason}" for site, reason in found["not_left_out"].items()]
    lines += [f"{site} is kept for later and in no number here" for site in found["kept_for_later"]]
    if found["chosen"]:
        lines.append(f"best mean AUC: {found['chosen']}")
    return "\n".join(lines).rstrip()
