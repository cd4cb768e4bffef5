"""The figure: what the best attack leaves of an image against what the defence costs in AUC."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import costs
import numpy as np
import utility
from disguises import best
from leaks import attacked, read
from settings import GAUSSIAN, HAM, OURS, SHARES, STRENGTHS, on_updates, soteria

HERE = Path(__file__).parent
SUMS = HERE.parent / "inversion-attacks" / "results.csv"
Point = tuple[float | None, str | None, str]
"""Leak in dB, name of the defence among the training runs (``None``: no cost by construction), label."""


def curves(out: Path) -> dict[str, list[Point]]:
    """Return the points of each curve: noise by the disguised image itself, the rest by the best attack on updates."""
    strengths, changed = read(out / "strength"), read(out / "ats")
    made: dict[str, list[Point]] = {"no defence": [(_worst(out, utility.UNDEFENDED), utility.UNDEFENDED, "")]}
    for name in (GAUSSIAN, OURS):
        made[f"{name}, on images (rms)"] = [
            (_mean(strengths.get(f"{name} {one}")), utility.at(name, one), f"{one:g}") for one in STRENGTHS
        ]
    made["Soteria (share)"] = [
        (_worst(out, name), name, f"{share:g}") for share, name in zip(SHARES, soteria(SHARES), strict=True)
    ]
    made["masked sum (sites)"] = [(db, None, str(count)) for count, db in _sums()]
    for name in on_updates():
        if not name.startswith("Soteria"):
            made[name] = [(_worst(out, name), name, "")]
    made["ATS"] = [(_mean(changed.get(HAM)), "ATS", "")]
    return made


def draw(out: Path) -> list[str]:
    """Draw the figure, and return its points as lines of CSV."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    runs = costs.done(out, HAM)
    lines = ["curve,setting,leak_db,auc_difference,standard_error,seeds"]
    figure, axes = pyplot.subplots(figsize=(7.2, 4.6), layout="constrained")
    for name, points in curves(out).items():
        there = [(db, *height, label) for db, defence, label in points if db and (height := _difference(runs, defence))]
        lines += [f'"{name}",{label},{db:.2f},{auc:.4f},{error:.4f},{n}' for db, auc, error, n, label in there]
        _curve(axes, name, there)
    axes.set_xlabel("what the best attack and clean-up leave of an image, dB (less is better)")
    axes.set_ylabel("AUC minus AUC without a defence")
    axes.legend(fontsize="x-small", loc="lower right")
    axes.grid(alpha=0.3)
    figure.savefig(HERE / "frontier.png", dpi=150, metadata={"Software": None})
    pyplot.close(figure)
    return lines


def _curve(axes: Any, name: str, points: Sequence[tuple[float, float, float, int, str]]) -> None:
    if not points:
        return
    heights, errors = [p[1] for p in points], [p[2] for p in points]
    axes.errorbar([p[0] for p in points], heights, errors, marker="o", markersize=4, capsize=2, label=name)
    for db, auc, _, _, label in points:
        axes.annotate(label, (db, auc), fontsize="x-small", xytext=(4, 4), textcoords="offset points")


def _difference(
    runs: dict[str, dict[int, tuple[float, float, float]]], name: str | None
) -> tuple[float, float, int] | None:
    """Return the mean difference in AUC to no defence, its standard error, and over how many seeds."""
    if name in (None, utility.UNDEFENDED):
        return 0.0, 0.0, len(runs.get(utility.UNDEFENDED, {}))
    paired = costs.gaps(runs, name)[:, 0]
    if not len(paired):
        return None
    error = float(paired.std(ddof=1) / np.sqrt(len(paired))) if len(paired) > 1 else 0.0
    return float(paired.mean()), error, len(paired)


def _mean(rows: Any) -> float | None:
    return None if rows is None else float(best(rows).mean(0)[0])


def _worst(out: Path, name: str) -> float | None:
    left = attacked(out, HAM, name)
    return None if left is None else float(left.best[:, 0].mean())


def _sums() -> Iterator[tuple[int, float]]:
    with SUMS.open() as file:
        rows = list(csv.DictReader(file))
    for count in (2, 4, 8):
        values = [float(row["best_db"]) for row in rows if row["row"] == f"masked sum of {count} sites"]
        if values:
            yield count, float(np.mean(values))
