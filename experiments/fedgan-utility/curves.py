"""Tables and a figure of what classifiers scored with and without synthetic images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fedgan-vanilla"))

from seeds import interval

NONE = "none"
LEAST_SEEDS = 3
WORDS = {
    NONE: "real images alone",
    "federated": "with federated ones",
    "central": "with pooled training's",
    "attacked": "with attacked ones",
    "defended": "with attacked and defended ones",
}
TITLES = {
    "pneumonia": "PneumoniaMNIST, generators of the first plan",
    "pneumonia-cosine": "PneumoniaMNIST, generators of the second plan",
    "ham10000": "HAM10000, four real sites",
}
Lines = Sequence[Mapping[str, Any]]


def written(found: Mapping[str, Lines], levels: Sequence[int]) -> str:
    """Return the results as a page: AUC, what synthetic images changed of it in pairs, and copies."""
    page: list[str] = []
    for name, title in TITLES.items():
        rows = [row for row in found["rows"] if row["set"] == name]
        if not rows:
            continue
        heads = [f"{each} of each class" if each else "all" for each in levels]
        page += [f"## {title}", ""]
        for what, key, cell in TABLES:
            page += [f"| {what} | seeds | {' | '.join(heads)} |", "|---" * (len(levels) + 2) + "|"]
            for source, words in WORDS.items():
                cells = [cell(rows, each, source, key) for each in levels]
                if any(cells):
                    seeds = len({row["seed"] for row in rows if row["source"] == source})
                    page.append(f"| {words} | {seeds} | {' | '.join(cells)} |")
            page.append("")
    return "\n".join([*page, *_copies(found["copies"])])


def pairs(rows: Lines, each: int, source: str, key: str = "auc") -> list[float]:
    """Return what a source of synthetic images changed of the AUC, one number for each seed that has both."""
    alone, beside = (_by_seed(rows, each, which, key) for which in (NONE, source))
    return [beside[seed] - alone[seed] for seed in sorted(alone.keys() & beside.keys())]


def _by_seed(rows: Lines, each: int, source: str, key: str = "auc") -> dict[int, float]:
    return {row["seed"]: row[key] for row in rows if row["each"] == each and row["source"] == source}


def _mean(rows: Lines, each: int, source: str, key: str) -> str:
    scores = list(_by_seed(rows, each, source, key).values())
    return f"{interval(scores)[0]:.3f}" if scores else ""


def _gain(rows: Lines, each: int, source: str, key: str) -> str:
    changes = pairs(rows, each, source, key) if source != NONE else []
    if not changes:
        return ""
    mean, *ends = interval(changes)
    if len(changes) < LEAST_SEEDS:
        return f"{mean:+.3f}"
    low, high = ends
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})" + (" **more**" if low > 0 else " **less**" if high < 0 else "")


TABLES = (
    ("AUC, test", "auc", _mean),
    ("gain over real images alone, test", "auc", _gain),
    ("AUC, validation", "auc_val", _mean),
    ("gain over real images alone, validation", "auc_val", _gain),
)


def _copies(copies: Lines) -> list[str]:
    page = [
        "## Copies",
        "",
        "| images of | seeds | membership AUC (largest of the seeds) | copied (most) | no sign of copies |",
        "|---|---|---|---|---|",
    ]
    for name, source in dict.fromkeys((found["set"], found["source"]) for found in copies):
        mine = [found for found in copies if (found["set"], found["source"]) == (name, source)]
        worst = max(mine, key=lambda each: float(each["membership_auc"]))
        auc = f"{worst['membership_auc']:.3f} ({worst['low']:.3f} to {worst['high']:.3f})"
        copied = f"{100 * max(each['copied'] for each in mine):.1f}%"
        passed = f"{sum(each['passes'] for each in mine)} of {len(mine)}"
        page.append(f"| {name}, {source} | {len(mine)} | {auc} | {copied} | {passed} |")
    return [*page, ""]


def draw(found: Mapping[str, Lines], levels: Sequence[int], path: Path) -> None:
    """Draw mean AUC, and gains with their intervals, by real images of each class."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in TITLES if any(row["set"] == name for row in found["rows"])]
    size = (5.5 * len(names), 9)
    figure, axes = pyplot.subplots(3, len(names), figsize=size, squeeze=False, sharex="col")
    for column, name in enumerate(names):
        rows = [row for row in found["rows"] if row["set"] == name]
        scores, *below = axes[:, column]
        for place, source in enumerate(WORDS):
            there = [tick for tick, each in enumerate(levels) if _by_seed(rows, each, source)]
            means = [interval(list(_by_seed(rows, levels[tick], source).values()))[0] for tick in there]
            scores.plot(there, means, marker="o", label=WORDS[source], color=f"C{place}")
            for axis, key in zip(below, ("auc", "auc_val"), strict=True):
                for tick in there if source != NONE else ():
                    _gain_drawn(axis, tick + 0.12 * (place - 2.5), pairs(rows, levels[tick], source, key), f"C{place}")
        scores.set_title(TITLES[name], fontsize=10)
        for axis in below:
            axis.axhline(0, color="grey", linewidth=0.8)
        below[-1].set_xticks(range(len(levels)), [str(each) if each else "all" for each in levels])
        below[-1].set_xlabel("real images of each class")
    for axis, words in zip(
        axes[:, 0], ("AUC, test", "gain over real alone, test", "the same, validation"), strict=True
    ):
        axis.set_ylabel(words)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2 * len(names), fontsize=8)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _gain_drawn(axis: Any, place: float, changes: Sequence[float], colour: str) -> None:
    """Draw a mean with its interval, or each seed by itself where there are too few for one."""
    if len(changes) < LEAST_SEEDS:
        axis.plot([place] * len(changes), changes, "x", color=colour)
        return
    mean, low, high = interval(list(changes))
    axis.errorbar([place], [mean], [[mean - low], [high - mean]], fmt="o", capsize=3, color=colour)
