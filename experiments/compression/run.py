"""What compression costs on HAM10000's four sites: AUC against bytes, with and without error feedback.

    WARDROUND_DATA=folder python experiments/compression/run.py [OUT] [--cores N] [--seeds N]

Trains what is missing, one seed of every method after the other, compares in pairs, and writes ``results.json`` and
``results.md``. Every run checkpoints; stop it and start it again as you like.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from methods import FEDERATED, HERE, METHODS, plan_of, run

from wardround.metrics.clinical import Statistic, macro_auc
from wardround.metrics.intervals import Estimate, paired_difference, site_mean_auc, verdict
from wardround.study.folder import RunFolder

sys.path.insert(0, str(FEDERATED))

from reproduce import LARGE, predictions

SEEDS = tuple(range(11, 18))
REPLICATES = 1000
AIM_AUC = -0.005


def folder_of(out: Path, method: str, seed: int) -> Path:
    """Return where a run lies."""
    return out / f"{method.replace(', ', '-').replace(' ', '-').replace('%', '')}-{seed}"


def train(task: tuple[str, int], out: Path) -> None:
    """Train one method with one seed on one core, unless it is done."""
    method, seed = task
    run(plan_of(METHODS[method], seed), folder_of(out, method, seed))
    print(f"{method}, seed {seed}: done", flush=True)


def compare(out: Path, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Compute the AUCs, the bytes, and the differences to plain training."""
    found = {method: [predictions(folder_of(out, method, seed))[0] for seed in seeds] for method in METHODS}
    origins = predictions(folder_of(out, "plain", seeds[0]))[1]
    statistics: dict[str, Statistic] = {"site_mean_auc": site_mean_auc(origins, LARGE), "pooled_auc": macro_auc}
    methods = {
        method: {
            name: [float(statistic(each, np.ones(len(each)))) for each in runs]
            for name, statistic in statistics.items()
        }
        | traffic(out, method, seeds)
        for method, runs in found.items()
    }
    differences = []
    for method in list(METHODS)[1:]:
        for name, statistic in statistics.items():
            difference = paired_difference(found[method], found["plain"], statistic, REPLICATES)
            row = {"what": f"{method} - plain", "statistic": name}
            differences.append({**row, "mean": difference.value, "low": difference.low, "high": difference.high})
    return {"seeds": list(seeds), "methods": methods, "differences": differences}


def traffic(out: Path, method: str, seeds: tuple[int, ...]) -> dict[str, float]:
    """Return bytes that a site sends up in a round and gets down, as ``summary.json`` counts them."""
    up, down, asked = 0, 0, 0
    for seed in seeds:
        folder = RunFolder(folder_of(out, method, seed))
        taken = folder.summary()["bytes"]
        up, down = up + taken["up"], down + taken["down"]
        asked += sum(len(record.cohort) for record in folder.records())
    return {"up_bytes_per_site_round": up / asked, "down_bytes_per_site_round": down / asked}


def markdown(results: dict[str, Any]) -> str:
    """Write the tables."""
    methods = results["methods"]
    plain = methods["plain"]["up_bytes_per_site_round"]
    lines = [
        f"Seeds {', '.join(map(str, results['seeds']))}; mean ± standard deviation over seeds.",
        "",
        "| method | site-mean AUC | pooled AUC | bytes up per site and round | plain / this | down |",
        "|---|---|---|---|---|---|",
    ]
    for method, row in methods.items():
        aucs = [
            f"{np.mean(row[name]):.4f} ± {np.std(row[name], ddof=1):.4f}" for name in ("site_mean_auc", "pooled_auc")
        ]
        up, down = row["up_bytes_per_site_round"], row["down_bytes_per_site_round"]
        lines.append(f"| {method} | {aucs[0]} | {aucs[1]} | {up:,.0f} | {plain / up:.1f} | {down:,.0f} |")
    aim = f"| difference | statistic | mean (95% interval) | ≥ {AIM_AUC} |"
    lines += ["", aim, "|---|---|---|---|"]
    for row in results["differences"]:
        said = f"{row['mean']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        decided = verdict(Estimate(row["mean"], row["low"], row["high"]), AIM_AUC)
        lines.append(f"| {row['what']} | {row['statistic']} | {said} | {decided} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train what is missing, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/compression"))
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the seeds, at least 2")
    arguments = parser.parse_args()
    seeds = SEEDS[: arguments.seeds]
    tasks = [(method, seed) for seed in seeds for method in METHODS]
    with ProcessPoolExecutor(arguments.cores) as pool:
        list(pool.map(partial(train, out=arguments.out), tasks))
    results = compare(arguments.out, seeds)
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "results.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
