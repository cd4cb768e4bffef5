"""Tables and a figure of what classifiers scored with and without synthetic images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fedgan-vanilla"))

from seeds import interval

NONE = "none"
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
        for what, cell in (("AUC", _mean), ("gain over real images alone", _gain)):
            page += [f"| {what} | seeds | {' | '.join(heads)} |", "|---" * (len(levels) + 2) + "|"]
            for source, words in WORDS.items():
                cells = [cell(rows, each, source) for each in levels]
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


def _mean(rows: Lines, each: int, source: str) -> str:
    scores = list(_by_seed(rows, each, source).values())
    return f"{interval(scores)[0]:.3f}" if scores else ""


def _gain(rows: Lines, each: int, source: str) -> str:
    changes = pairs(rows, each, source) if source != NONE else []
    if len(changes) < 2:
        return ""
    mean, low, high = interval(changes)
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})" + (" **" if low > 0 else " *" if high < 0 else "")


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
    figure, axes = pyplot.subplots(2, len(names), figsize=(5.5 * len(names), 6.5), squeeze=False, sharex="col")
    ticks = range(len(levels))
    for column, name in enumerate(names):
        rows = [row for row in found["rows"] if row["set"] == name]
        above, below = axes[0, column], axes[1, column]
        for place, source in enumerate(WORDS):
            there = [tick for tick in ticks if _by_seed(rows, levels[tick], source)]
            means = [interval(list(_by_seed(rows, levels[tick], source).values()))[0] for tick in there]
            above.plot(there, means, marker="o", label=WORDS[source], color=f"C{place}")
            gains = [(tick, pairs(rows, levels[tick], source)) for tick in there if source != NONE]
            ends = [(tick, interval(gain)) for tick, gain in gains if len(gain) > 1]
            shifted = [tick + 0.12 * (place - 2.5) for tick, _ in ends]
            centres = [end[0] for _, end in ends]
            spread = [[end[0] - end[1] for _, end in ends], [end[2] - end[0] for _, end in ends]]
            if ends:
                below.errorbar(shifted, centres, spread, fmt="o", capsize=3, color=f"C{place}")
        above.set_title(TITLES[name])
        above.set_ylabel("AUC")
        below.axhline(0, color="grey", linewidth=0.8)
        below.set_ylabel("gain over real images alone")
        below.set_xticks(list(ticks), [str(each) if each else "all" for each in levels])
        below.set_xlabel("real images of each class")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
