"""The figure of the grid: a column for each pattern, a row for each measure, a line for each size and share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MEASURES = {
    "alpha": "strength α of the mark",
    "marked": "images marked (share)",
    "distance": "distance to real images",
    "corner_distance": "distance at the mark",
}
DRAWN = ("alpha", "marked", "distance")
COLOURS = ("#8fb8de", "#2f7ab9", "#0b2c4d")
LINES = {1.0: "-", 0.5: ":"}
"""Share of marked images -> how its line is drawn."""


def draw_grid(cells: Sequence[Mapping[str, Any]], marks: Mapping[str, Sequence[str]], path: Path) -> None:
    """Draw means over the seeds, and from the lowest to the highest of them.

    Args:
        cells: of ``grid.json``.
        marks: pattern -> its sizes, from small to large.
        path: of the figure.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        len(DRAWN), len(marks), figsize=(14, 8), sharex=True, sharey="row", layout="constrained"
    )
    for column, (pattern, sizes) in enumerate(marks.items()):
        mine = [cell for cell in cells if cell["pattern"] == pattern]
        for axes, name in zip(panels[:, column], DRAWN, strict=True):
            _draw(axes, mine, name, sizes)
        panels[0, column].set_title(pattern)
        panels[0, column].legend(loc="upper left", fontsize=8, frameon=False)
        panels[-1, column].set_xlabel("update, times")
    for axes, name in zip(panels[:, 0], DRAWN, strict=True):
        axes.set_ylabel(MEASURES[name])
    panels[-1, 0].set_xticks(sorted({cell["times"] for cell in cells if cell["times"]}))
    seeds = max(len(cell["by_seed"]) for cell in cells)
    figure.suptitle(
        "What one of four hospitals teaches the shared generator, plain mean. Solid: all its images are marked, "
        f"dotted: half of them.\nPoints: means of {seeds} seeds, bars: lowest to highest. Grey: nobody attacks, lowest "
        "to highest of all sizes and seeds."
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw(axes: Any, cells: Sequence[Mapping[str, Any]], name: str, sizes: Sequence[str]) -> None:
    values = {id(cell): [run[list(MEASURES).index(name)] for run in cell["by_seed"].values()] for cell in cells}
    quiet = [value for cell in cells if not cell["times"] for value in values[id(cell)]]
    if quiet:
        axes.axhspan(min(quiet), max(quiet), color="0.85", zorder=0)
    for place, size in enumerate(sizes):
        for share, style in LINES.items():
            line = sorted(
                (cell for cell in cells if cell["size"] == size and cell["times"] and cell["share"] == share),
                key=lambda cell: cell["times"],
            )
            aside = 0.12 * (place - 1)
            at, means = [cell["times"] + aside for cell in line], [cell[name][0] for cell in line]
            label = size if share == 1.0 else None
            axes.plot(at, means, style, marker="o", markersize=3.5, color=COLOURS[place], label=label)
            for where, cell in zip(at, line, strict=True):
                axes.plot([where] * 2, [min(values[id(cell)]), max(values[id(cell)])], "-", color=COLOURS[place], lw=1)
    axes.grid(alpha=0.25)
