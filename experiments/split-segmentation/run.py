"""Segmentation over a cut network: every way to train it, beside central, local and federated training of the whole.

    WARDROUND_DATA=folder python experiments/split-segmentation/run.py [OUT] [--seeds N] [--rounds N] [--only SITES]

Every run is kept in OUT and is not trained again; stop and go on as you like. Differences are paired: the same split,
initial weights and test images, intervals over lesions and seeds. What is there goes into ``results.json`` and
``results.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from shifts import strengthened

from wardround.data.sites import Iid, SiteData
from wardround.fabric.local import LocalFabric
from wardround.metrics.intervals import paired_difference
from wardround.metrics.scores import MeanOf, Scores
from wardround.rounds.listener import Silent
from wardround.rounds.plan import Plan
from wardround.study.build import POOLED_SITE, joined, opener_for, sites_of
from wardround.study.folder import RunFolder
from wardround.study.run import run_plan
from wardround.study.spec import load, parse, to_table

HERE = Path(__file__).parent
FIRST_SEED = 11
REPLICATES = 1000
OURS = "interleaved"
METHODS: dict[str, dict[str, Any]] = {
    "central": {"algorithm": {"name": "central"}, "training": {"steps": 100}},
    "local": {"algorithm": {"name": "local"}},
    "fedavg = splitfed_v1": {"algorithm": {"name": "fedavg"}},
    "fedprox": {"algorithm": {"name": "fedprox", "mu": 0.01}},
    "split_learning": {"algorithm": {"name": "split_learning"}, "split": {}},
    "splitfed_v2": {"algorithm": {"name": "splitfed_v2"}, "split": {}},
    "splitfed_v3": {"algorithm": {"name": "splitfed_v3"}, "split": {}},
    "dcsfl, released": {"algorithm": {"name": "dcsfl", "form": "released"}, "split": {}},
    "dcsfl, intended": {"algorithm": {"name": "dcsfl", "form": "intended"}, "split": {}},
    OURS: {"algorithm": {"name": "interleaved"}, "split": {}},
    "interleaved, int8": {"algorithm": {"name": "interleaved"}, "split": {"wire": "int8"}},
    "interleaved, norms of head and tail stay": {
        "algorithm": {"name": "interleaved", "personal": "norms"},
        "split": {},
    },
}
SITES = ("natural", "strengthened", "iid")


def plan_of(method: str, sites: str, seed: int, rounds: int) -> Plan:
    """Return one method's plan."""
    table = to_table(load(HERE / "base.toml"))
    for key, value in METHODS[method].items():
        table[key] = {**table[key], **value} if key == "training" else value
    plan = replace(parse(table), seed=seed, rounds=rounds)
    return replace(plan, data=replace(plan.data, sites=Iid(4))) if sites == "iid" else plan


def folder_of(out: Path, method: str, sites: str, seed: int) -> Path:
    """Return where a run lies."""
    name = "".join(letter if letter.isalnum() else "-" for letter in method).strip("-")
    return out / f"{sites}-{name}-{seed}"


def dealt(sites: str) -> dict[str, SiteData]:
    """Return the images of each site, not pooled."""
    found = sites_of(plan_of("local", sites, FIRST_SEED, 1), Path(os.environ["WARDROUND_DATA"]))
    return strengthened(found) if sites == "strengthened" else found


def pooled(sites: Mapping[str, SiteData]) -> dict[str, SiteData]:
    """Return the one site that holds all images."""
    parts = [(data.train, data.val, data.test) for data in sites.values()]
    return {POOLED_SITE: SiteData(*(joined(list(part)) for part in zip(*parts, strict=True)))}


def run(plan: Plan, sites: Mapping[str, SiteData], path: Path) -> None:
    """Train, unless it is done; in one process and on one core, so that runs can be put side by side."""
    folder = RunFolder(path)
    if path.exists() and folder.is_settled(plan, resume=True):
        return
    held = pooled(sites) if plan.composed().pooled else sites
    fabric = LocalFabric(list(held), opener_for(plan, held, folder.store_root))
    began = time.process_time()
    run_plan(plan, fabric, path, True, Silent())
    folder.write_file("cpu_s", f"{time.process_time() - began:.1f}\n".encode())


def scores_of(path: Path) -> tuple[Scores, np.ndarray]:
    """Return each test image's Dice, and its site."""
    held = safetensors.numpy.load((path / "predictions.safetensors").read_bytes())
    dice = np.asarray(held["dice"], np.float64)
    return Scores({"dice": dice}, held["groups"].astype(str)), held["sites"]


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
