"""What a malicious hospital can teach the shared generator, and what screens and aggregators make of it.

    WARDROUND_DATA=folder python experiments/fedgan-backdoor/run.py [OUT] [--seeds N] [--minutes M]

Trains what is missing, one run after the other, measures each generator's marks and its distance to real images, and
writes ``results.json``, ``results.md`` and ``images.png``. Every run checkpoints; stop it and start it again.
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
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from arms import ARMS, trigger
from tally import cell, flags

sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-vanilla"))

from judge import Judge, generator_of, plan_of
from pictures import draw_grid

from wardround.attacks.poison import ImageTrigger
from wardround.core.context import derive_seed
from wardround.metrics.marks import measured_mark
from wardround.rounds.plan import Plan
from wardround.study.run import train

HERE = Path(__file__).parent
SEEDS = (31, 32, 33, 34, 35)
ENDS = (6, 12)
"""Arms before these places are run with all their seeds before the others begin."""
SHOWN = ("clean", "x3", "x3 generator e-detector", "x3 median", "x3 mixing")
"""In the picture, of the first seed."""
COLUMNS = ("strength", "share", "corner_distance", "frechet")


def plan_for(name: str, seed: int) -> Plan:
    """Return the plan of one run."""
    arm = ARMS[name]
    changes: dict[str, Any] = {"attack": list(arm.attacks), "screen": list(arm.screens)}
    if arm.aggregator is not None:
        changes["aggregator"] = arm.aggregator
    if arm.probe:
        changes["probe"] = {"share": arm.probe}
    return plan_of(f"{arm.data}.toml", **changes, seed=seed, name=folder_name(name))


def folder_name(name: str) -> str:
    """Return an arm's name as a run folder may have it."""
    return "backdoor-" + name.replace(" ", "-").replace(",", "")


def row_of(out: Path, name: str, seed: int) -> dict[str, Any]:
    """Train one run unless it is done, and measure it unless it is measured."""
    path = out / f"{folder_name(name)}-{seed}"
    kept = path.with_suffix(".marks.json")
    if not kept.exists():
        train(plan_for(name, seed), path, Path(os.environ["WARDROUND_DATA"]), resume=True, workers=0)
        kept.write_text(
            json.dumps({"arm": name, "seed": seed, **measured(judge_of(ARMS[name].data, out), path, name)}, indent=1)
        )
    row: dict[str, Any] = json.loads(kept.read_text())
    return row


@cache
def judge_of(data: str, out: Path) -> Judge:
    """Return the judge of a data set's images, trained at first use."""
    return Judge.of(f"{data}-judge.toml", out, Path(os.environ["WARDROUND_DATA"]))


def measured(judge: Judge, run: Path, name: str) -> dict[str, Any]:
    """Seek the arm's mark on synthetic images, and count whom screens held what against."""
    table = next((each for each in ARMS[name].attacks if each["kind"] == "image_trigger"), trigger())
    attack = ImageTrigger(**{key: tuple(v) if key == "sites" else v for key, v in table.items() if key != "kind"})
    task, network = generator_of(run)
    real = judge.real["val"]
    made = task.draw(network, real.labels, np.random.default_rng(derive_seed(0, "judged")))
    found = measured_mark(attack.mark(*real.shape), made, real.batch(slice(None)))
    attacked = bool(ARMS[name].attacks)
    return {**asdict(found), "frechet": judge.measured(task, network, "val")["frechet"], **flags(run, attacked)}


def written(rows: list[Mapping[str, Any]]) -> str:
    """Return the table: means over seeds, with intervals where there are several."""
    lines = [
        "| attack and defence | seeds | strength α | marked | corner distance | Fréchet distance | honest flagged | "
        "attacker flagged |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in ARMS:
        mine = [row for row in rows if row["arm"] == name]
        if not mine:
            continue
        cells = [cell([row[column] for row in mine]) for column in COLUMNS]
        cells += [cell([row[c] for row in mine if row[c] is not None]) for c in ("honest_flagged", "attacker_flagged")]
        lines.append(f"| {name} | {len(mine)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def asked(seeds: int) -> list[tuple[str, int]]:
    """Return the runs in their order: the first arms with all their seeds, seed by seed, then the next ones so."""
    names = list(ARMS)
    blocks = [names[begin:end] for begin, end in pairwise((0, *ENDS, len(names)))]
    return [
        (name, seed)
        for block in blocks
        for place, seed in enumerate(SEEDS[:seeds])
        for name in block
        if place < ARMS[name].seeds
    ]


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further run after so many")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    ends_s = time.monotonic() + 60 * chosen.minutes
    rows = []
    for name, seed in asked(chosen.seeds):
        done = (chosen.out / f"{folder_name(name)}-{seed}.marks.json").exists()
        if not done and time.monotonic() > ends_s:
            continue
        rows.append(row_of(chosen.out, name, seed))
        told = ", ".join(f"{column} {rows[-1][column]:.3f}" for column in COLUMNS)
        print(f"{name}, seed {seed}: {told}", flush=True)
    (HERE / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    (HERE / "results.md").write_text(written(rows))
    runs = {name: chosen.out / f"{folder_name(name)}-{SEEDS[0]}" for name in SHOWN}
    shown = {name: run for name, run in runs.items() if run.with_suffix(".marks.json").exists()}
    draw_grid(judge_of("pneumonia", chosen.out).real["val"], shown, HERE / "images.png")
    sys.stdout.write(written(rows))


if __name__ == "__main__":
    main()
