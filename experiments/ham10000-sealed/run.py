"""What the sealed sum costs on HAM10000's four sites: AUC lost to quantising, and wall time.

    WARDROUND_DATA=folder python experiments/ham10000-sealed/run.py [OUT] [--cores N]
    WARDROUND_DATA=folder python experiments/ham10000-sealed/run.py [OUT] --time

The first trains seven seeds of three plans and compares them in pairs; the second times plain and sealed rounds in
turn, on a machine that should do nothing else. Both write their part of ``results.json``; ``results.md`` shows all.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wardround.metrics.clinical import Statistic, macro_auc
from wardround.metrics.intervals import paired_difference, site_mean_auc
from wardround.protect.clip import Clip
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import load

HERE = Path(__file__).parent
FEDERATED = HERE.parent / "ham10000-federated"
sys.path.insert(0, str(FEDERATED))

from reproduce import LARGE, predictions  # noqa: E402

SEEDS = tuple(range(11, 18))
REPLICATES = 1000
CLIP_NORM = 10.0
TIMED = {"tenth of a pass": (0.1, 60), "whole pass": (1.0, 6)}
"""Passes in a round, and rounds."""
REPEATS = 3
AIM = 1.10


def sealed(bits: int) -> Pipeline:
    """Return clip, quantise, masks and packed encryption."""
    return Pipeline((Clip(CLIP_NORM), Quantise(bits), Masks(), Homomorphic()))


METHODS = {"plain": Pipeline(), "sealed, 16 bits": sealed(16), "sealed, 8 bits": sealed(8)}


def plan_of(method: str) -> Plan:
    """Return the headline's federated plan with other protections."""
    return replace(load(FEDERATED / "federated.toml"), name="ham10000-sealed", pipeline=METHODS[method])


def folder_of(out: Path, method: str, seed: int) -> Path:
    """Return where a run lies."""
    return out / f"{method.replace(', ', '-').replace(' ', '-')}-{seed}"


def run(task: tuple[str, int], out: Path) -> None:
    """Train one method with one seed on one core, unless it is done."""
    method, seed = task
    plan = replace(plan_of(method), seed=seed)
    train(plan, folder_of(out, method, seed), Path(os.environ["WARDROUND_DATA"]), resume=True, workers=0)


def compare(out: Path) -> dict[str, Any]:
    """Compute the AUCs, and their differences to plain training."""
    found = {method: [predictions(folder_of(out, method, seed))[0] for seed in SEEDS] for method in METHODS}
    origins = predictions(folder_of(out, "plain", SEEDS[0]))[1]
    statistics: dict[str, Statistic] = {"site_mean_auc": site_mean_auc(origins, LARGE), "pooled_auc": macro_auc}
    methods = {
        method: {
            name: float(np.mean([statistic(each, np.ones(len(each))) for each in runs]))
            for name, statistic in statistics.items()
        }
        | traffic(out, method)
        for method, runs in found.items()
    }
    differences = []
    for method in list(METHODS)[1:]:
        for name, statistic in statistics.items():
            difference = paired_difference(found[method], found["plain"], statistic, REPLICATES)
            row = {"what": f"{method} - plain", "statistic": name}
            differences.append({**row, "mean": difference.value, "low": difference.low, "high": difference.high})
    return {"seeds": list(SEEDS), "methods": methods, "differences": differences}


def traffic(out: Path, method: str) -> dict[str, float]:
    """Return bytes per float and round, up and down, and the largest share of values cut to their range."""
    folder = RunFolder(folder_of(out, method, SEEDS[0]))
    records = folder.records()
    asked = sum(len(record.cohort) for record in records)
    cut = [said.get("cut", 0.0) for record in records for said in record.accepted.values()]
    return {
        "up_bytes_per_site_round": sum(record.bytes_up for record in records) / asked,
        "down_bytes_per_site_round": sum(record.bytes_down for record in records) / asked,
        "largest_cut": max(cut),
    }


def timed(out: Path) -> list[dict[str, Any]]:
    """Time plain and sealed rounds in turn, with one worker process a core."""
    rows = []
    for name, (epochs, rounds) in TIMED.items():
        seconds: dict[str, list[float]] = {"plain": [], "sealed, 16 bits": []}
        for _ in range(REPEATS):
            for method, taken in seconds.items():
                taken.append(_seconds(out, method, epochs, rounds))
        plain, full = (float(np.median(taken)) for taken in seconds.values())
        rows.append({"rounds of": name, "plain_s": plain, "sealed_s": full, "ratio": full / plain, "all": seconds})
    return rows


def _seconds(out: Path, method: str, epochs: float, rounds: int) -> float:
    plan = plan_of(method)
    plan = replace(
        plan,
        rounds=rounds,
        training=replace(plan.training, epochs=epochs),
        evaluation=replace(plan.evaluation, every=0, bootstrap=0),
    )
    folder = out / "timed"
    for path in (folder, folder.with_name("timed.sites")):
        shutil.rmtree(path, ignore_errors=True)
    train(plan, folder, Path(os.environ["WARDROUND_DATA"]))
    records = RunFolder(folder).records()
    # The first round opens the images and warms the caches.
    taken = [sum(record.seconds.values()) for record in records[1:]]
    return float(np.median(taken))


def markdown(results: dict[str, Any]) -> str:
    """Write the tables."""
    lines = [
        "| method | site-mean AUC | pooled AUC | bytes up per site and round | down | largest share of cut values |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for method, row in results.get("methods", {}).items():
        up, down = row["up_bytes_per_site_round"], row["down_bytes_per_site_round"]
        aucs = f"{row['site_mean_auc']:.4f} | {row['pooled_auc']:.4f}"
        lines.append(f"| {method} | {aucs} | {up:,.0f} | {down:,.0f} | {row['largest_cut']:.5f} |")
    lines += ["", "| difference | statistic | mean (95% interval) |", "|---|---|---|"]
    for row in results.get("differences", []):
        lines.append(
            f"| {row['what']} | {row['statistic']} | {row['mean']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f}) |"
        )
    lines += ["", "| rounds of a | plain, s | sealed, s | ratio | aim | verdict |", "|---|---|---|---|---|---|"]
    for row in results.get("timed", []):
        verdict = "met" if row["ratio"] <= AIM else "missed"
        taken = f"{row['plain_s']:.4f} | {row['sealed_s']:.4f} | {row['ratio']:.3f}"
        lines.append(f"| {row['rounds of']} | {taken} | ≤ {AIM:.2f} | {verdict} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train or time what is missing, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/ham10000-sealed"))
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--time", action="store_true")
    arguments = parser.parse_args()
    held = HERE / "results.json"
    results = json.loads(held.read_text()) if held.exists() else {}
    began = time.process_time()
    if arguments.time:
        results["timed"] = timed(arguments.out)
    else:
        tasks = [(method, seed) for method in METHODS for seed in SEEDS]
        with ProcessPoolExecutor(arguments.cores) as pool:
            list(pool.map(partial(run, out=arguments.out), tasks))
        results |= compare(arguments.out)
    print(f"{time.process_time() - began:.0f} s of this process")
    held.write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "results.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
