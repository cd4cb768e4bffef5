"""Methods side by side on one measure: means, the worst site, differences in pairs of the seeds that both have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from wardround.metrics.intervals import paired_difference
from wardround.metrics.scores import MeanOf, Scores

REPLICATES = 1000
Runs = Mapping[str, Mapping[int, Scores]]
"""Method -> seed -> the scores of its test images."""


def scores_of(path: Path, measure: str) -> tuple[Scores, np.ndarray]:
    """Return the measure of each test image of a run, and its site."""
    held = safetensors.numpy.load((path / "predictions.safetensors").read_bytes())
    return Scores({measure: np.asarray(held[measure], np.float64)}, held["groups"].astype(str)), held["sites"]


def worst_site(measure: str, origins: np.ndarray) -> Callable[[Scores, np.ndarray], np.ndarray]:
    """Return the statistic "mean at the site where it is lowest"."""

    def statistic(scores: Scores, weights: np.ndarray) -> np.ndarray:
        means = [
            MeanOf(measure)(scores.take(origins == site), weights[..., origins == site]) for site in np.unique(origins)
        ]
        return np.min(np.stack(means), axis=0)

    return statistic


def half_way(measure: str, one: Mapping[int, Scores], other: Mapping[int, Scores]) -> dict[int, Scores]:
    """Return what lies half way between two methods, image by image."""
    return {
        seed: Scores({measure: (one[seed].values[measure] + other[seed].values[measure]) / 2}, one[seed].groups)
        for seed in one.keys() & other.keys()
    }


def compare(found: Runs, origins: np.ndarray, measure: str, others: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return a row for each method: its means, and by how much each exceeds those of `others`, with intervals."""
    statistics = {"mean": MeanOf(measure), "worst site": worst_site(measure, origins)}
    rows = {}
    for method, runs in found.items():
        row: dict[str, Any] = {"seeds": sorted(runs)}
        for name, statistic in statistics.items():
            row[name] = float(np.mean([statistic(each, np.ones(len(each))) for each in runs.values()]))
        for other, (name, statistic) in product(others, statistics.items()):
            seeds = sorted(runs.keys() & found.get(other, {}).keys())
            if seeds and other != method:
                ours, theirs = ([found[each][seed] for seed in seeds] for each in (method, other))
                difference = paired_difference(ours, theirs, statistic, REPLICATES)
                row[f"{name} - {other}"] = [difference.value, difference.low, difference.high]
        rows[method] = row
    return rows


def table(rows: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str], digits: int) -> str:
    """Return rows as a table: what they have of "mean" and "worst site", then differences.

    Args:
        rows: of `compare`.
        columns: heading -> key of a difference.
        digits: behind the point.
    """
    lines = [
        f"| method | seeds | mean | worst site | {' | '.join(columns)} | CPU s |",
        "|---" * (5 + len(columns)) + "|",
    ]
    for method, row in rows.items():
        cells = [f"{row['mean']:.{digits}f}", f"{row['worst site']:.{digits}f}"]
        cells += [_interval(row.get(key), digits) for key in columns.values()]
        cells.append(f"{row['cpu_s']:.0f}" if "cpu_s" in row else "")
        lines.append(f"| {method} | {len(row['seeds'])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _interval(values: Sequence[float] | None, digits: int) -> str:
    return "" if values is None else "{0:+.{3}f} ({1:+.{3}f}, {2:+.{3}f})".format(*values, digits)
