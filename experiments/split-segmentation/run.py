"""Segmentation over a cut network: every way to train it, beside central, local and federated training of the whole.

    WARDROUND_DATA=folder python experiments/split-segmentation/run.py [OUT] [--only SITES] [--method NAME] [--seeds N]

Every run is kept in OUT and is not trained again; stop and go on as you like. Differences are paired: the same split,
initial weights and test images, intervals over lesions and seeds. What is there goes into ``results.json`` and
``results.md``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from comparison import compare, half_way, scores_of, table
from methods import FEDAVG, METHODS, OURS, SITES, cpu_s, dealt, folder_of, plan_of, run, seeds_of

from wardround.metrics.scores import Scores

ROUNDS = 8
SHORT = "interleaved, rounds of 5"
HALF = "half way from fedavg to central"
DIFFERENCES = {
    "- central": "mean - central",
    "- FedAvg": f"mean - {FEDAVG}",
    "- half way from FedAvg to central": f"mean - {HALF}",
    "worst site - central": "worst site - central",
}


def rows_of(out: Path, sites: str) -> dict[str, Any]:
    """Return a row for each method that has run at these sites."""
    found: dict[str, dict[int, Scores]] = {}
    origins = np.zeros(0)
    for method in METHODS:
        for seed in seeds_of(method, sites):
            path = folder_of(out, method, sites, seed)
            if (path / "cpu_s").exists():
                scores, origins = scores_of(path, "dice")
                found.setdefault(method, {})[seed] = scores
    if "central" in found and FEDAVG in found:
        found[HALF] = half_way("dice", found["central"], found[FEDAVG])
    rows = compare(found, origins, "dice", ("central", FEDAVG, OURS, HALF, SHORT))
    for method in METHODS.keys() & rows.keys():
        seconds = [cpu_s(folder_of(out, method, sites, seed)) for seed in rows[method]["seeds"]]
        rows[method]["cpu_s"] = float(np.mean(seconds))
    return rows


def written(results: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    parts = [f"# split-segmentation\n\n{results['rounds']} passes of 200 images a site; Dice on the test images.\n"]
    parts += [f"## {sites} sites\n\n{table(rows, DIFFERENCES, 3)}" for sites, rows in results["sites"].items()]
    return "\n".join(parts)


def main() -> None:
    """Train what is missing, then compare what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/split-segmentation"))
    parser.add_argument("--seeds", type=int, default=9, help="at most so many of each method's")
    parser.add_argument("--only", choices=SITES, action="append", help="kinds of sites to train on; all if not given")
    parser.add_argument("--method", choices=list(METHODS), action="append", help="methods to train; all if not given")
    chosen = parser.parse_args()
    for sites in chosen.only or SITES:
        held = dealt(sites)
        wanted = [
            (seed, method) for method in chosen.method or METHODS for seed in seeds_of(method, sites)[: chosen.seeds]
        ]
        for seed, method in sorted(wanted, key=lambda each: each[0]):
            run(plan_of(method, sites, seed, ROUNDS), held, folder_of(chosen.out, method, sites, seed))
            print(f"{sites}, seed {seed}, {method}: done", flush=True)
    results = {"rounds": ROUNDS, "sites": {sites: rows_of(chosen.out, sites) for sites in SITES}}
    (chosen.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (chosen.out / "results.md").write_text(written(results))
    print(written(results))


if __name__ == "__main__":
    main()
