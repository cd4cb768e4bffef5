"""How good the images are that hospitals learn to make together, beside pooled training at equal samples.

    WARDROUND_DATA=folder python experiments/fedgan-vanilla/run.py [OUT] [--seeds N] [--minutes M]

Trains what is missing, one run after the other, and measures the moving average of each generator with a judge that
learned the classes from real training images; writes ``results.json`` and ``results.md``. Every run checkpoints; stop
it and start it again as you like.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judge import HERE, Judge, generator_of, untrained
from plans import ARMS, FRESH, plan_for
from seeds import at_most, geometric

from wardround.core.context import derive_seed
from wardround.metrics.copies import sought_copies
from wardround.rounds.plan import Plan
from wardround.study.run import train

MEASURED = ("frechet", "kernel", "precision", "recall", "density", "coverage")
CENTRAL = "-central"
AIMS = (
    ("PneumoniaMNIST, of the start", "pneumonia-cosine", "start", 0.05),
    ("PneumoniaMNIST, times central", "pneumonia-cosine", "central", 1.5),
    ("HAM10000's real sites, of the start", "ham10000", "start", 0.35),
    ("before: PneumoniaMNIST, of the start", "pneumonia", "start", 0.05),
    ("before: PneumoniaMNIST, times central", "pneumonia", "central", 1.5),
)
"""What is claimed, of which arm, against what, and the aim."""


def row_of(out: Path, data: Path, arm: str, seed: int) -> dict[str, Any]:
    """Train one run unless it is done, and measure it unless it is measured."""
    path = out / f"{arm}-{seed}"
    kept = path.with_suffix(".measured.json")
    if not kept.exists():
        plan, began_s = plan_for(arm, seed), time.process_time()
        train(plan, path, data, resume=True, workers=0)
        kept.write_text(json.dumps({"arm": arm, "seed": seed, **measured(out, data, plan, path, began_s)}, indent=1))
    row: dict[str, Any] = json.loads(kept.read_text())
    return row


def measured(out: Path, data: Path, plan: Plan, run: Path, began_s: float) -> dict[str, Any]:
    """Measure a trained generator and an untrained one, and seek copies."""
    judge = judge_of(out, data, plan.name)
    task, network = generator_of(run)
    made = task.draw(network, judge.real["val"].labels, np.random.default_rng(derive_seed(plan.seed, "copies")))
    rng = np.random.default_rng(0)
    copies = sought_copies(judge.features(made), judge.known["train"], judge.known["val"], rng)
    return {
        "start": judge.measured(*untrained(plan, judge), "val")["frechet"],
        "val": judge.measured(task, network, "val"),
        "test": judge.measured(task, network, "test"),
        "copies": {**asdict(copies), "passes": copies.passes},
        "cpu_s": round(time.process_time() - began_s, 1),
    }


_JUDGES: dict[str, Judge] = {}


def judge_of(out: Path, data: Path, arm: str) -> Judge:
    """Return the judge of an arm's data, trained at first use."""
    file = f"{arm.partition('-')[0]}-judge.toml"
    if file not in _JUDGES:
        _JUDGES[file] = Judge.of(file, out, data)
    return _JUDGES[file]


def claims(rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Hold the rows against what was to be shown; every ratio is of one seed, and means are geometric."""
    by = {(row["arm"], row["seed"]): row for row in rows}
    found = []
    for claim, arm, against, aim in AIMS:
        ratios = []
        for seed in ARMS[arm][2]:
            row, central = by.get((arm, seed)), by.get((arm + CENTRAL, seed))
            if row is None or (against == "central" and central is None):
                continue
            base = row["start"] if against == "start" or central is None else central["val"]["frechet"]
            ratios.append(float(row["val"]["frechet"] / base))
        if ratios:
            ends = geometric(ratios)
            found.append({"claim": claim, "aim": aim, "ratios": ratios, "found": ends, "verdict": at_most(ends, aim)})
    return found


def written(found: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    lines = ["| claim | at most | geometric mean (95% interval over seeds) | seeds | |", "|---|---|---|---|---|"]
    for claim in found["claims"]:
        value = f"{claim['found'][0]:.3f}"
        if len(claim["found"]) == 3:
            value += f" ({claim['found'][1]:.3f} to {claim['found'][2]:.3f})"
        lines.append(f"| {claim['claim']} | {claim['aim']} | {value} | {len(claim['ratios'])} | {claim['verdict']} |")
    lines += [
        "",
        f"| run | start | {' | '.join(MEASURED)} | membership AUC | copied |",
        "|---" * (len(MEASURED) + 4) + "|",
    ]
    for row in found["rows"]:
        numbers = " | ".join(f"{row['val'][name]:.3f}" for name in MEASURED)
        copies = row["copies"]
        auc = f"{copies['membership_auc']:.3f} ({copies['low']:.3f} to {copies['high']:.3f})"
        name, copied = f"{row['arm']}, seed {row['seed']}", f"{100 * copies['copied']:.1f}%"
        lines.append(f"| {name} | {row['start']:.2f} | {numbers} | {auc} | {copied} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=len(FRESH), help="of each arm, at most so many")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further run after so many")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    ends_s = time.monotonic() + 60 * chosen.minutes
    rows = []
    for place in range(len(FRESH)):
        for arm, (*_, seeds) in ARMS.items():
            kept = chosen.out / f"{arm}-{seeds[min(place, len(seeds) - 1)]}.measured.json"
            if place >= len(seeds) or (not kept.exists() and (place >= chosen.seeds or time.monotonic() > ends_s)):
                continue
            rows.append(row_of(chosen.out, Path(os.environ["WARDROUND_DATA"]), arm, seeds[place]))
            print(
                f"{arm}, seed {seeds[place]}: {rows[-1]['val']['frechet']:.3f} of {rows[-1]['start']:.2f}", flush=True
            )
    rows.sort(key=lambda row: (list(ARMS).index(row["arm"]), row["seed"]))
    found = {"claims": claims(rows), "rows": rows}
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(written(found))
    sys.stdout.write(written(found))


if __name__ == "__main__":
    main()
