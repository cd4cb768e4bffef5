"""The tables of what defences cost, and of the choice of the strength."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import utility
from leaks import over_seeds, told
from settings import GRID, MOST_COST, OURS, PNEUMONIA

MEASURES = ("AUC", "macro F1", "micro F1")


def done(out: Path, data: str) -> dict[str, dict[int, tuple[float, float, float]]]:
    """Return name -> seed -> AUC, macro and micro F1 of the runs on a data set that are done."""
    found: dict[str, dict[int, tuple[float, float, float]]] = {}
    for where, name, _, seed in utility.every():
        metrics = utility.tested(utility.folder(out, data, name, seed)) if where == data else None
        if metrics:
            found.setdefault(name, {})[seed] = metrics
    return found


def gaps(runs: dict[str, dict[int, tuple[float, float, float]]], name: str) -> np.ndarray:
    """Return the differences of a defence to none, ``(seeds, 3)``, paired by seed."""
    bare = runs.get(utility.UNDEFENDED, {})
    paired = [np.subtract(values, bare[seed]) for seed, values in runs.get(name, {}).items() if seed in bare]
    return np.reshape(np.array(paired), (-1, len(MEASURES)))


def section(out: Path, data: str) -> list[str]:
    """Return the section on one data set."""
    runs = done(out, data)
    if utility.UNDEFENDED not in runs:
        return []
    lines = [
        f"## What it costs: {data}",
        "",
        "Pooled on test images after three passes; differences to no defence, paired by training seed, 95% (t).",
        "",
        "| defence | seeds | AUC | macro F1 | micro F1 | AUC difference | macro F1 difference | micro F1 difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, seeds in runs.items():
        means = np.mean(list(seeds.values()), 0)
        paired = gaps(runs, name)
        cells = ["–"] * 3
        if name != utility.UNDEFENDED and len(paired):
            cells = [told(over_seeds(paired[:, column]), 4) for column in range(3)]
        shown = " | ".join(f"{value:.4f}" for value in means)
        lines.append(f"| {name} | {len(seeds)} | {shown} | {' | '.join(cells)} |")
    return [*lines, ""]


def table(out: Path, data: str) -> list[str]:
    """Return a line of CSV for each run."""
    return [
        ",".join([data, f'"{name}"', str(seed), *(f"{value:.4f}" for value in values)])
        for name, seeds in done(out, data).items()
        for seed, values in seeds.items()
    ]


def choice(out: Path) -> list[str]:
    """Return the section on the choice of the strength."""
    found: dict[str, dict[int, float]] = {}
    for data, name, _, seed in utility.pilot():
        score = utility.validated(utility.folder(out, data, name, seed))
        if score is not None:
            found.setdefault(name, {})[seed] = score
    bare = found.get(utility.UNDEFENDED, {})
    lines = [
        "## The choice of the strength, on validation images and other seeds",
        "",
        f"{PNEUMONIA}, macro F1 on validation images. Taken is the largest strength whose mean cost is below "
        f"{MOST_COST:g}.",
        "",
        "| rms | seeds | F1 difference to none |",
        "|---|---|---|",
    ]
    for strength in GRID:
        seeds = found.get(utility.at(OURS, strength), {})
        paired = np.array([value - bare[seed] for seed, value in seeds.items() if seed in bare])
        if len(paired):
            lines.append(f"| {strength:g} | {len(paired)} | {told(over_seeds(paired), 4)} |")
    return [*lines, ""] if len(lines) > 6 else []
