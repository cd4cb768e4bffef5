"""A small diffusion model that hospitals train together, poisoned and screened, beside FedGAN.

    WARDROUND_DATA=folder python experiments/diffusion/run.py [OUT] [--seeds N] [--minutes M]

Trains what is missing, measures marks, distances and copies, and writes ``results.json``, ``results.md``
and ``images.png``. Every run checkpoints; stop it and start it again as you like.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conditions import CONDITIONS, FIRST_SEED_ALONE, LOSSES_OF, MARK

sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-backdoor"))
sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-vanilla"))

from judge import Judge, compared, generator_of, plan_of, untrained
from losses import told
from pictures import draw_grid
from tally import cell, flags

from wardround.attacks.poison import ImageTrigger
from wardround.core.context import derive_seed
from wardround.metrics.copies import sought_copies
from wardround.metrics.marks import measured_mark
from wardround.rounds.plan import Plan
from wardround.study.run import train

HERE = Path(__file__).parent
SEEDS = (11, 12, 13)
SHOWN = ("clean", "x3", "x3 multi-Krum", "FedGAN clean", "FedGAN x3", "pooled")
"""Of the first seed, in the picture."""
COLUMNS = {
    "frechet": "Fréchet distance",
    "strength": "strength α",
    "share": "marked",
    "corner_distance": "corner distance",
    "honest_flagged": "honest flagged",
    "attacker_flagged": "attacker flagged",
    "membership_auc": "membership AUC",
    "copied": "copied",
    "cpu_s": "CPU s",
}
TOLD = {
    "attacker_loss_highest": "attacker's mean loss the highest",
    "honest_would_be_flagged": "honest flagged by calibrated FedDetect",
    "attacker_would_be_flagged": "attacker flagged by it",
}


def plan_for(name: str, seed: int) -> Plan:
    """Return the plan of one run."""
    file, changes = CONDITIONS[name]
    return plan_of(str(HERE / file), **changes, seed=seed, name=folder_name(name))


def folder_name(name: str) -> str:
    """Return a row's name as a run folder may have it."""
    return name.lower().replace(" ", "-").replace("_", "-")


def row_of(out: Path, name: str, seed: int) -> dict[str, Any]:
    """Train one run unless it is done, and measure it unless it is measured."""
    path = out / f"{folder_name(name)}-{seed}"
    kept = path.with_suffix(".measured.json")
    if not kept.exists():
        plan, judge = plan_for(name, seed), judge_of(out)
        whole, began_s = not path.exists(), time.process_time()
        train(plan, path, Path(os.environ["WARDROUND_DATA"]), resume=True, workers=0)
        cpu_s = time.process_time() - began_s if whole else None  # of a run that was resumed, a part is not known
        found = measured(judge, plan, path)
        kept.write_text(json.dumps({"condition": name, "seed": seed, "cpu_s": cpu_s, **found}, indent=1))
    row: dict[str, Any] = json.loads(kept.read_text())
    said = told(path) if name in LOSSES_OF else {}
    return {**row, **flags(path, bool(plan_for(name, seed).attacks)), **said}


@cache
def judge_of(out: Path) -> Judge:
    """Return the judge of the images, trained at first use."""
    return Judge.of(str(HERE / "judge.toml"), out, Path(os.environ["WARDROUND_DATA"]))


def measured(judge: Judge, plan: Plan, run: Path) -> dict[str, Any]:
    """Measure a trained generator against the validation images: distance, mark and copies; and count verdicts."""
    task, network = generator_of(run)
    real = judge.real["val"]
    made = task.draw(network, real.labels, np.random.default_rng(derive_seed(0, "judged")))
    attack = ImageTrigger(**{key: tuple(v) if key == "sites" else v for key, v in MARK.items() if key != "kind"})
    marked = measured_mark(attack.mark(*real.shape), made, real.batch(slice(None)))
    seen, labels = judge.features(made), real.labels
    copies = sought_copies(seen, judge.known["train"], judge.known["val"], np.random.default_rng(0))
    start = None if plan.attacks else judge.measured(*untrained(plan, judge), "val")["frechet"]
    return {
        "start": start,
        **compared(judge.known["val"], seen, labels, real.classes),
        **asdict(marked),
        **asdict(copies),
        "passes": copies.passes,
    }


def written(rows: list[Mapping[str, Any]]) -> str:
    """Return the tables: means over seeds, with intervals where there are several."""
    lines = [*_table(rows, tuple(CONDITIONS), COLUMNS), "", *_table(rows, LOSSES_OF, TOLD)]
    spent = [row["cpu_s"] for row in rows if row["cpu_s"] is not None]
    words = f"{len(spent)} runs that were not interrupted took {sum(spent) / 3600:.2f} CPU-hours."
    return "\n".join([*lines, "", words]) + "\n"


def _table(rows: list[Mapping[str, Any]], names: tuple[str, ...], columns: Mapping[str, str]) -> list[str]:
    lines = [f"| | seeds | {' | '.join(columns.values())} |", "|---" * (len(columns) + 2) + "|"]
    for name in names:
        mine = [row for row in rows if row["condition"] == name]
        cells = [cell([row[column] for row in mine if row[column] is not None]) for column in columns]
        if mine:
            lines.append(f"| {name} | {len(mine)} | {' | '.join(cells)} |")
    return lines


def asked(seeds: int) -> list[tuple[str, int]]:
    """Return the runs in their order: all conditions once, then one after the other with the other seeds."""
    first, *others = SEEDS[:seeds]
    repeated = [name for name in CONDITIONS if name not in FIRST_SEED_ALONE]
    return [(name, first) for name in CONDITIONS] + [(name, seed) for name in repeated for seed in others]


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, choices=range(1, len(SEEDS) + 1), default=len(SEEDS))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further run after so many")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    ends_s = time.monotonic() + 60 * chosen.minutes
    rows = []
    for name, seed in asked(chosen.seeds):
        done = (chosen.out / f"{folder_name(name)}-{seed}.measured.json").exists()
        if not done and time.monotonic() > ends_s:
            continue
        rows.append(row_of(chosen.out, name, seed))
        seen = ", ".join(f"{key} {rows[-1][key]:.3f}" for key in COLUMNS if rows[-1][key] is not None)
        print(f"{name}, seed {seed}: {seen}", flush=True)
    (HERE / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "results.md").write_text(written(rows))
    runs = {name: chosen.out / f"{folder_name(name)}-{SEEDS[0]}" for name in SHOWN}
    shown = {name: run for name, run in runs.items() if run.with_suffix(".measured.json").exists()}
    draw_grid(judge_of(chosen.out).real["val"], shown, HERE / "images.png")
    sys.stdout.write(written(rows))


if __name__ == "__main__":
    main()
