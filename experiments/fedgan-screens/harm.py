"""The figure of what marks do: strength, share of marked images and corner distance, by kind of attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PANELS = {"alpha": "strength α", "marked": "images marked (share)", "corner_distance": "corner distance"}


def draw_harm(cells: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw means over seeds and their 95% intervals; nothing without cells."""
    if not cells:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [cell["attack"] for cell in cells]
    figure, panels = plt.subplots(
        1, len(PANELS), figsize=(11, 0.8 + 0.36 * len(cells)), sharey=True, layout="constrained"
    )
    for axes, (column, label) in zip(panels, PANELS.items(), strict=True):
        for place, cell in enumerate(cells):
            mean, low, high = cell[column]
            axes.plot([low, high], [place, place], color="0.6", linewidth=2, zorder=1)
            axes.plot(mean, place, "o", color="#1f4e79", zorder=2)
        axes.axvline(0, color="0.8", linewidth=1, zorder=0)
        axes.set_xlabel(label)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.suptitle("What one of four hospitals teaches the shared generator (plain mean, three seeds)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
