"""How good the images are that hospitals learn to make together, beside pooled training at equal samples.

    WARDROUND_DATA=folder python experiments/fedgan-vanilla/run.py [OUT] [--seeds N]

Trains what is missing, one run after the other, and measures the moving average of each generator with a judge that
learned the classes from real training images; writes ``results.json`` and ``results.md``. Every run checkpoints; stop
it and start it again as you like.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judge import HERE, Judge, generator_of, plan_of, untrained
from seeds import at_most, interval

from wardround.core.context import derive_seed
from wardround.metrics.copies import sought_copies
from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.run import train

SEEDS = (11, 12, 13)
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "pneumonia": ("pneumonia.toml", {}),
    "pneumonia-central": ("pneumonia.toml", {"algorithm": {"pooled": True}, "training": {"steps": 160}}),
    "ham10000": ("ham10000.toml", {}),
}
"""Arm -> its plan file and what is changed in it. Pooled training takes four times the steps: as many images."""
MEASURED = ("frechet", "kernel", "precision", "recall", "density", "coverage")


def plan_for(arm: str, seed: int) -> Plan:
    """Return the plan of one run."""
    file, changes = ARMS[arm]
    return plan_of(file, **changes, seed=seed, name=arm)


def row_of(out: Path, data: Path, arm: str, seed: int) -> dict[str, Any]:
    """Train one run unless it is done, and measure it unless it is measured."""
    path = out / f"{arm}-{seed}"
    kept = path.with_suffix(".measured.json")
    if not kept.exists():
        plan = plan_for(arm, seed)
        train(plan, path, data, resume=True, workers=0)
        kept.write_text(json.dumps({"arm": arm, "seed": seed, **measured(out, data, plan, path)}, indent=1))
    row: dict[str, Any] = json.loads(kept.read_text())
    return row


def measured(out: Path, data: Path, plan: Plan, run: Path) -> dict[str, Any]:
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
        "seconds": sum(RunFolder(run).summary()["seconds"].values()),
    }


_JUDGES: dict[str, Judge] = {}


def judge_of(out: Path, data: Path, arm: str) -> Judge:
    """Return the judge of an arm's data, trained at first use."""
    file = f"{arm.partition('-')[0]}-judge.toml"
    if file not in _JUDGES:
        _JUDGES[file] = Judge.of(file, out, data)
    return _JUDGES[file]


def claims(rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Hold the rows against what was to be shown; every ratio is of one seed."""
    by = {(row["arm"], row["seed"]): row for row in rows}
    seeds = sorted({row["seed"] for row in rows})

    def ratios(arm: str, of: Callable[[Mapping[str, Any], int], float | None]) -> list[float]:
        found = [of(by[arm, seed], seed) for seed in seeds if (arm, seed) in by]
        return [value for value in found if value is not None]

    def of_start(row: Mapping[str, Any], seed: int) -> float:
        return float(row["val"]["frechet"] / row["start"])

    def of_central(row: Mapping[str, Any], seed: int) -> float | None:
        central = by.get(("pneumonia-central", seed))
        return None if central is None else float(row["val"]["frechet"] / central["val"]["frechet"])

    aims = (
        ("PneumoniaMNIST, of the start", 0.05, ratios("pneumonia", of_start)),
        ("PneumoniaMNIST, times central", 1.5, ratios("pneumonia", of_central)),
        ("HAM10000's real sites, of the start", 0.35, ratios("ham10000", of_start)),
    )
    return [
        {
            "claim": name,
            "aim": aim,
            "seeds": len(found),
            "found": interval(found),
            "verdict": at_most(interval(found), aim),
        }
        for name, aim, found in aims
        if found
    ]


def written(found: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    lines = ["| claim | at most | found (95% interval over seeds) | seeds | |", "|---|---|---|---|---|"]
    for claim in found["claims"]:
        value = f"{claim['found'][0]:.3f}"
        if len(claim["found"]) == 3:
            value += f" ({claim['found'][1]:.3f} to {claim['found'][2]:.3f})"
        lines.append(f"| {claim['claim']} | {claim['aim']} | {value} | {claim['seeds']} | {claim['verdict']} |")
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
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--measured-only", action="store_true", help="train nothing; write what is there")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in SEEDS[: chosen.seeds]:
        for arm in ARMS:
            if chosen.measured_only and not (chosen.out / f"{arm}-{seed}.measured.json").exists():
                continue
            rows.append(row_of(chosen.out, Path(os.environ["WARDROUND_DATA"]), arm, seed))
            print(f"{arm}, seed {seed}: {rows[-1]['val']['frechet']:.3f} of {rows[-1]['start']:.2f}", flush=True)
    found = {"claims": claims(rows), "rows": rows}
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results.md").write_text(written(found))
    sys.stdout.write(written(found))


if __name__ == "__main__":
    main()
