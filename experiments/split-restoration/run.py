"""Restoration over a cut network: scans at four scanners that see differently, every way to train beside central.

    WARDROUND_DATA=folder python experiments/split-restoration/run.py [OUT] [--only SOURCE] [--seeds N]

Every run is kept in OUT and is not trained again. Differences are paired: the same images, what was seen of them and
initial weights; intervals over images and seeds. What is there goes into ``results.json`` and ``results.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wardround.data.sites import SiteData
from wardround.metrics.scores import Scores
from wardround.rounds.plan import Plan
from wardround.study.build import sites_of
from wardround.study.spec import load, parse, to_table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "split-segmentation"))

from comparison import compare, scores_of, table  # noqa: E402
from methods import cpu_s, folder_of, run  # noqa: E402

FEDAVG, OURS = "fedavg = splitfed_v1", "every step"
FIRST_SEED = 11
IMAGES_A_SITE = 200
SUM = {"steps": 1, "batch_size": 2, "optimiser": "sgd", "learning_rate": 1.0, "momentum": 0.0, "keep_optimiser": False}
METHODS: dict[str, dict[str, Any]] = {
    "central": {"algorithm": {"name": "central"}, "training": {"steps": 100}},
    FEDAVG: {"algorithm": {"name": "fedavg"}},
    OURS: {
        "algorithm": {"name": "fedavg"},
        "training": SUM,
        "server": {"name": "adam", "learning_rate": 0.001, "beta2": 0.99, "tau": 1e-8},
    },
    "splitfed_v2": {"algorithm": {"name": "splitfed_v2"}, "split": {}},
    "every step, each site's adam": {"algorithm": {"name": "fedavg"}, "training": {"steps": 1, "batch_size": 2}},
    "interleaved, rounds of 5": {"algorithm": {"name": "interleaved"}, "split": {}, "training": {"steps": 5}},
    "local": {"algorithm": {"name": "local"}},
    "split_learning": {"algorithm": {"name": "split_learning"}, "split": {}},
    "splitfed_v3": {"algorithm": {"name": "splitfed_v3"}, "split": {}},
    "dcsfl, released": {"algorithm": {"name": "dcsfl", "form": "released"}, "split": {}},
    "dcsfl, intended": {"algorithm": {"name": "dcsfl", "form": "intended"}, "split": {}},
}
HEADLINE = ("central", FEDAVG, OURS, "splitfed_v2")
"""With five seeds on phantoms, and on the grey images; the others have three, on phantoms."""
SOURCES = ("phantoms", "ham10000")
DIFFERENCES = {
    "- central": "mean - central",
    "- FedAvg": f"mean - {FEDAVG}",
    "worst site - central": "worst site - central",
}


def plan_of(method: str, source: str, seed: int) -> Plan:
    """Return one method's plan."""
    base = to_table(load(HERE / "base.toml"))
    if source != "phantoms":
        base["data"] = {"source": source, "size_px": base["data"]["size_px"]}
        names = sorted(sites_of_source(source))
        for place, how in enumerate(base["task"]["degradation"]):
            how["sites"] = [names[place]]
    for key, value in METHODS[method].items():
        base[key] = {**base[key], **value} if key == "training" else value
    base.setdefault("algorithm", {"name": "fedavg"})
    shorter = max(1, IMAGES_A_SITE // (base["training"]["steps"] * base["training"]["batch_size"]))
    return replace(parse(base), seed=seed, rounds=base["rounds"] * shorter)


def sites_of_source(source: str) -> tuple[str, ...]:
    """Return the names of a source's own sites."""
    plan = parse({"name": "names", "data": {"source": source, "size_px": 28}})
    return tuple(sites_of(plan, Path(os.environ["WARDROUND_DATA"])))


def seeds_of(method: str, source: str) -> list[int]:
    """Return the seeds of a method's runs."""
    if source != "phantoms":
        return list(range(FIRST_SEED, FIRST_SEED + 3)) if method in HEADLINE else []
    return list(range(FIRST_SEED, FIRST_SEED + (5 if method in HEADLINE else 3)))


def dealt(source: str) -> dict[str, SiteData]:
    """Return the images of each site, not pooled; the same for every seed."""
    root = os.environ.get("WARDROUND_DATA")
    return sites_of(plan_of("local", source, FIRST_SEED), None if root is None else Path(root))


def rows_of(out: Path, source: str) -> dict[str, Any]:
    """Return a row for each method that has run on these images."""
    found: dict[str, dict[int, Scores]] = {}
    origins = np.zeros(0)
    for method in METHODS:
        for seed in seeds_of(method, source):
            path = folder_of(out, method, source, seed)
            if (path / "cpu_s").exists():
                scores, origins = scores_of(path, "psnr_db")
                found.setdefault(method, {})[seed] = scores
    rows = compare(found, origins, "psnr_db", ("central", FEDAVG, OURS))
    for method, row in rows.items():
        row["cpu_s"] = float(np.mean([cpu_s(folder_of(out, method, source, seed)) for seed in row["seeds"]]))
    return rows


def written(results: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    parts = ["# split-restoration\n\nPSNR in dB on the test images, simulated scans.\n"]
    parts += [f"## {source}\n\n{table(rows, DIFFERENCES, 2)}" for source, rows in results.items()]
    return "\n".join(parts)


def main() -> None:
    """Train what is missing, then compare what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/split-restoration"))
    parser.add_argument("--only", choices=SOURCES, action="append", help="what to train on; all if not given")
    parser.add_argument("--seeds", type=int, default=9, help="at most so many of each method's")
    chosen = parser.parse_args()
    for source in chosen.only or SOURCES:
        held = dealt(source)
        wanted = [(seed, method) for method in METHODS for seed in seeds_of(method, source)[: chosen.seeds]]
        for seed, method in sorted(wanted, key=lambda each: each[0]):
            run(plan_of(method, source, seed), held, folder_of(chosen.out, method, source, seed))
            print(f"{source}, seed {seed}, {method}: done", flush=True)
    results = {source: rows for source in SOURCES if (rows := rows_of(chosen.out, source))}
    (chosen.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (chosen.out / "results.md").write_text(written(results))
    print(written(results))


if __name__ == "__main__":
    main()
