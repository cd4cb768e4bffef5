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
DRAWN = {"alpha": "beyond_values", "marked": "beyond_values", "distance": "values"}
"""What marks add to a longer update, which alone may look like one; distances as they are, beside such an update's."""
COLOURS = ("#8fb8de", "#2f7ab9", "#0b2c4d")
"""From small to large."""
LINES = {1.0: "-", 0.5: ":"}
"""Share of marked images -> how its line is drawn."""


def draw_grid(cells: Sequence[Mapping[str, Any]], marks: Mapping[str, Sequence[str]], path: Path) -> None:
    """Draw what marks do, by the length of the update: means, and the single seeds.

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
        for axes, (name, which) in zip(panels[:, column], DRAWN.items(), strict=True):
            _draw(axes, mine, name, which, sizes)
        panels[0, column].set_title(pattern)
        panels[0, column].legend(loc="best", fontsize=8, framealpha=0.6)
    for axes, name in zip(panels[:, 0], DRAWN, strict=True):
        axes.set_ylabel(MEASURES[name] + ("\nmore than without a mark" if DRAWN[name] != "values" else ""))
    times = sorted({cell["times"] for cell in cells})
    panels[-1, 0].set_xticks(times, [f"×{each:g}" for each in times])
    figure.supxlabel("length of the attacker's update", fontsize="medium")
    figure.suptitle(
        "What one of four hospitals teaches the shared generator under the plain mean. Solid: all its images are "
        "marked; dotted: half of them;\ngrey: none, but the update is as long. "
        f"Lines: means; points: {len({seed for cell in cells for seed in cell['seeds']})} seeds"
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw(axes: Any, cells: Sequence[Mapping[str, Any]], name: str, which: str, sizes: Sequence[str]) -> None:
    without = [cell for cell in cells if cell["size"] == sizes[0] and not cell["share"]]
    axes.plot([cell["times"] for cell in without], _means(without, name, which), "--", color="0.55", zorder=0)
    for place, size in enumerate(sizes):
        for share, style in LINES.items():
            line = [cell for cell in cells if cell["size"] == size and cell["share"] == share]
            line.sort(key=lambda cell: cell["times"])
            at, label = [cell["times"] + 0.12 * (place - 1) for cell in line], size if share == max(LINES) else None
            axes.plot(at, _means(line, name, which), style, color=COLOURS[place], label=label)
            for where, cell in zip(at, line, strict=True):
                values = cell[which][name]
                axes.plot([where] * len(values), values, "o", color=COLOURS[place], markersize=2.5, alpha=0.8)
    axes.grid(alpha=0.25)


def _means(cells: Sequence[Mapping[str, Any]], name: str, which: str) -> list[float]:
    return [sum(cell[which][name]) / len(cell[which][name]) for cell in cells]
