"""Segmentation over a cut network: every way to train it, beside central, local and federated training of the whole.

    WARDROUND_DATA=folder python experiments/split-segmentation/run.py [OUT] [--seeds N] [--rounds N] [--only SITES]

Every run is kept in OUT and is not trained again; stop and go on as you like. Differences are paired: the same split,
initial weights and test images, intervals over lesions and seeds. What is there goes into ``results.json`` and
``results.md``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from methods import FIRST_SEED, METHODS, OURS, REPLICATES, SITES, dealt, folder_of, plan_of, run, scores_of

from wardround.metrics.intervals import paired_difference
from wardround.metrics.scores import MeanOf, Scores


def worst_site(origins: np.ndarray) -> Callable[[Scores, np.ndarray], np.ndarray]:
    """Return the statistic "mean Dice at the site where it is lowest"."""

    def statistic(scores: Scores, weights: np.ndarray) -> np.ndarray:
        means = [
            MeanOf("dice")(scores.take(origins == site), weights[..., origins == site]) for site in np.unique(origins)
        ]
        return np.min(np.stack(means), axis=0)

    return statistic


def compare(out: Path, sites: str, seeds: list[int]) -> dict[str, Any]:
    """Return each method's Dice, and what each exceeds central and FedAvg by, in pairs."""
    found: dict[str, list[Scores]] = {}
    origins = np.zeros(0)
    for method in METHODS:
        paths = [folder_of(out, method, sites, seed) for seed in seeds]
        if all((path / "predictions.safetensors").exists() for path in paths):
            read = [scores_of(path) for path in paths]
            found[method], origins = [scores for scores, _ in read], read[0][1]
    statistics = {"mean": MeanOf("dice"), "worst site": worst_site(origins)}
    methods = {}
    for method, runs in found.items():
        row: dict[str, Any] = {
            name: float(np.mean([statistic(each, np.ones(len(each))) for each in runs]))
            for name, statistic in statistics.items()
        }
        row["cpu_s"] = float(np.mean([_cpu_s(folder_of(out, method, sites, seed)) for seed in seeds]))
        for other in ("central", "fedavg = splitfed_v1", OURS):
            if other in found and other != method:
                for name, statistic in statistics.items():
                    pair = paired_difference(runs, found[other], statistic, REPLICATES)
                    row[f"{name} - {other}"] = [pair.value, pair.low, pair.high]
        methods[method] = row
    return methods


def _cpu_s(path: Path) -> float:
    file = path / "cpu_s"
    return float(file.read_text()) if file.exists() else float("nan")


def written(results: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    lines = [
        "# split-segmentation",
        "",
        f"{results['rounds']} rounds, seeds {results['seeds']}; Dice on the test images.",
    ]
    for sites, methods in results["sites"].items():
        lines += ["", f"## {sites} sites", ""]
        lines += ["| method | Dice | worst site | - central | - FedAvg | CPU s |", "|---|---|---|---|---|---|"]
        for method, row in methods.items():
            cells = [_interval(row.get(f"mean - {other}")) for other in ("central", "fedavg = splitfed_v1")]
            lines.append(
                f"| {method} | {row['mean']:.3f} | {row['worst site']:.3f} | {' | '.join(cells)} | {row['cpu_s']:.0f} |"
            )
    return "\n".join(lines) + "\n"


def _interval(values: list[float] | None) -> str:
    return "" if values is None else f"{values[0]:+.3f} ({values[1]:+.3f}, {values[2]:+.3f})"


def main() -> None:
    """Train what is missing, then compare what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/split-segmentation"))
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 11 on")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", choices=SITES, action="append", help="kinds of sites; all if not given")
    parser.add_argument("--method", choices=list(METHODS), action="append", help="methods; all if not given")
    chosen = parser.parse_args()
    seeds = list(range(FIRST_SEED, FIRST_SEED + chosen.seeds))
    results: dict[str, Any] = {"rounds": chosen.rounds, "seeds": seeds, "sites": {}}
    for sites in chosen.only or SITES:
        held = dealt(sites)
        for seed in seeds:
            for method in chosen.method or METHODS:
                run(plan_of(method, sites, seed, chosen.rounds), held, folder_of(chosen.out, method, sites, seed))
                print(f"{sites}, seed {seed}, {method}: done", flush=True)
        results["sites"][sites] = compare(chosen.out, sites, seeds)
        (chosen.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (chosen.out / "results.md").write_text(written(results))
    print(written(results))


if __name__ == "__main__":
    main()
