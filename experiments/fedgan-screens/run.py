"""Every screen and aggregator against a site that teaches the shared generator a mark, on a bed of small generators.

    WARDROUND_DATA=folder python experiments/fedgan-screens/run.py [OUT] [--minutes M] [--seeds N N ...]

One process, one core; several may share OUT if they are given different seeds, once the judges are there. Each
finished run is a line of ``OUT/runs.jsonl``; started again, it goes on after the last. The judges, and the weights that
every run goes on from, are trained first and kept in OUT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import (
    BELIEVE_LOSSES,
    DEALT,
    DETECTOR,
    GROUPS_EVIDENCE,
    MIXING,
    ORACLE,
    OURS,
    PLAIN,
    SEALED,
    SEEDS,
    TOLD,
    UNSEEN,
    attacks,
    defences,
    judge_plan,
    plan_of,
    start_plan,
)

sys.path.append(str(Path(__file__).parents[1] / "fedgan-vanilla"))
sys.path.append(str(Path(__file__).parents[1] / "sealed-screening"))

from accusations import counted
from judge import Judge, compared, generator_of

from wardround.attacks.poison import ImageTrigger
from wardround.core.context import derive_seed
from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.errors import PlanError, QuorumLost
from wardround.fabric.local import LocalFabric
from wardround.metrics.marks import measured_mark
from wardround.rounds.listener import Silent
from wardround.study.build import dealt, joined, opener_for
from wardround.study.folder import RunFolder
from wardround.study.predict import loaded
from wardround.study.run import run_plan, train
from wardround.study.simulation import introduce_sites

BENIGN_SEED, BENIGN_RUNS = 1000, 50
FEWER_SEEDS = SEEDS[:3]
OF_EIGHT = ("krum", "multi-krum")
"""They need five sites."""
FEW = (PLAIN, "clip norms", "median", TOLD, DETECTOR, MIXING, OURS)
OTHERS = tuple(name for name in defences(1) if name not in (*FEW, *SEALED, *OF_EIGHT))
MORE = ("x1.5", "x3, as long as honest", "x3, late")
FOUR, EIGHT, UNLIKE, REAL, TWENTY = "iid, 4", "iid", "dirichlet", "real", "iid, 20"
Row = tuple[str, str, str, int]


def table() -> Iterator[Row]:
    """Yield all runs, what matters most first, so that a run that is stopped leaves whole cells.

    The oracle, in which nobody attacks, is the same under every attack with the table's mark.
    """
    all_but_twenty = (FOUR, REAL, EIGHT, UNLIKE)
    for by in all_but_twenty:
        yield from _rows(by, ["x3", "plain", "benign"], FEW)
        yield from _rows(by, ["x3"], [ORACLE])
    for by in (EIGHT, UNLIKE):
        yield from _rows(by, ["x3", "benign"], SEALED)
    for by in all_but_twenty:
        yield from _rows(by, ["x3"], _others(by))
        yield from _rows(by, ["x3, lying"], BELIEVE_LOSSES)
    for screen in (OURS, DETECTOR):
        for index in range(BENIGN_RUNS):
            yield from ((by, "benign", screen, BENIGN_SEED + index) for by in (UNLIKE, REAL, FOUR))
    for by in (FOUR, REAL, UNLIKE):
        yield from _rows(by, MORE, (PLAIN, TOLD, DETECTOR, MIXING, OURS))
    yield from _rows(FOUR, list(UNSEEN), (PLAIN, DETECTOR, MIXING, OURS))
    yield from _rows(TWENTY, ["x3", "benign"], (PLAIN, TOLD, DETECTOR, MIXING, OURS))
    yield from _rows(TWENTY, ["x3"], [ORACLE, GROUPS_EVIDENCE])
    for by in all_but_twenty:
        yield from _rows(by, ["plain", "benign"], _others(by), FEWER_SEEDS)


def _others(by: str) -> tuple[str, ...]:
    return OTHERS + (OF_EIGHT if by in (EIGHT, UNLIKE) else ())


def _rows(by: str, attacked: Sequence[str], chosen: Sequence[str], seeds: Sequence[int] = SEEDS) -> Iterator[Row]:
    for seed in seeds:
        yield from ((by, attack, defence, seed) for attack in attacked for defence in chosen)


@cache
def sites_dealt(by: str, seed: int, root: Path) -> tuple[dict[str, SiteData], LabelledImages | None]:
    """Return the sites and the coordinator's images, which are set aside whoever asks for them."""
    return dealt(plan_of(by, [], OURS, seed, {}), root)


@cache
def judge_for(data: str, out: Path, root: Path) -> Judge:
    """Return the judge of a data set, and its real images: those of the validation part."""
    plan = judge_plan(data)
    folder = RunFolder(train(plan, out / plan.name, root, resume=True, workers=0))
    way = next(by for by, dealt_so in DEALT.items() if dealt_so.data == data)
    held = list(sites_dealt(way, SEEDS[0], root)[0].values())
    return Judge(loaded(folder, plan, None)[1], {"val": joined([site.val for site in held])})


@cache
def start_for(data: str, out: Path, root: Path) -> dict[str, str]:
    """Return the ``[start]`` of a data set."""
    plan = start_plan(data)
    file = train(plan, out / plan.name, root, resume=True, workers=0) / "model.safetensors"
    return {"file": str(file.resolve()), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def measured(row: Row, out: Path, root: Path) -> dict[str, Any]:
    """Train, and return what came of it; a refused plan, and a run that lost every site to a screen, say so."""
    by, attack, defence, seed = row
    said: dict[str, Any] = {"dealt": by, "attack": attack, "defence": defence, "seed": seed}
    tables, culprits = attacks(by)[attack], set[str]()
    judge = judge_for(DEALT[by].data, out, root)
    sites, probe = sites_dealt(by, seed, root)
    if defence == ORACLE:
        sites = {name: site for name, site in sites.items() if name not in DEALT[by].culprits}
        trained_on: list[dict[str, Any]] = []
    else:
        trained_on, culprits = tables, {site for one in tables for site in one["sites"]}
    began = time.process_time()
    try:
        plan = plan_of(by, trained_on, defence, seed, start_for(DEALT[by].data, out, root))
        with tempfile.TemporaryDirectory() as folder:
            path, kept = Path(folder) / "run", Path(folder) / "sites"
            if plan.needs_keys:
                introduce_sites(kept, tuple(sites))
            fabric = LocalFabric(tuple(sites), opener_for(plan, sites, kept, root))
            run_plan(plan, fabric, path, False, Silent(), root, probe if plan.probe else None, sites)
            task, network = generator_of(path)
            records = RunFolder(path).records()
    except (PlanError, QuorumLost) as refusal:
        return {**said, "refused": str(refusal)}
    cpu_s = time.process_time() - began
    return {
        **said,
        **judged(judge, task, network, tables),
        **counted(records, sorted(sites), culprits),
        "cpu_s": round(cpu_s, 2),
    }


def judged(judge: Judge, task: Any, network: Any, tables: list[dict[str, Any]]) -> dict[str, float]:
    """Measure the mark and the distance to real images of as many synthetic ones."""
    real = judge.real["val"]
    made = task.draw(network, real.labels, np.random.default_rng(derive_seed(0, "judged")))
    found = measured_mark(mark_of(tables).mark(*real.shape), made, real.batch(slice(None)))
    distance = compared(judge.known["val"], judge.features(made), real.labels, real.classes)["frechet"]
    return {
        "alpha": found.strength,
        "marked": found.share,
        "corner_distance": found.corner_distance,
        "distance": float(distance),
    }


def mark_of(tables: list[dict[str, Any]]) -> ImageTrigger:
    """Return the trigger that is sought: the attack's own, or the table's where nobody attacks."""
    own = next(table for table in tables or attacks("iid")["x3"] if table["kind"] == "image_trigger")
    return ImageTrigger(**{key: tuple(v) if key == "sites" else v for key, v in own.items() if key != "kind"})


def untrained(out: Path, root: Path) -> dict[str, Any]:
    """Return what the weights that every run goes on from, and those before any training, score."""
    found = {}
    for data in {way.data for way in DEALT.values()}:
        judge, file = judge_for(data, out, root), Path(start_for(data, out, root)["file"])
        task, network = generator_of(file.parent)
        found[data] = {
            "start": judged(judge, task, network, []),
            "untrained": judged(judge, task, task.build(start_plan(data).seed), []),
        }
    return found


def mine(seed: int, chosen: Sequence[int]) -> bool:
    """Return whether a process that was given some of the seeds makes the runs of this one."""
    return seed in chosen or (seed >= BENIGN_SEED and seed % 2 in {one % 2 for one in chosen})


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="runs/fedgan-screens", type=Path)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further run after so many")
    parser.add_argument("--seeds", type=int, nargs="+", help="run only these; runs for false alarms go by odd and even")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    ends_s = time.monotonic() + 60 * asked.minutes
    root = Path(os.environ["WARDROUND_DATA"])
    lines = asked.out / "runs.jsonl"
    done = {_row(json.loads(line)) for line in lines.read_text().splitlines()} if lines.exists() else set()
    starts = asked.out / "starts.json"
    if not starts.exists():
        starts.write_text(json.dumps(untrained(asked.out, root), indent=1) + "\n")
    rows = list(dict.fromkeys(table()))
    for place, row in enumerate(rows):
        if row in done or (asked.seeds and not mine(row[3], asked.seeds)):
            continue
        if time.monotonic() > ends_s:
            break
        found = measured(row, asked.out, root)
        with lines.open("a") as opened:
            opened.write(json.dumps(found) + "\n")
        print(f"{place + 1}/{len(rows)}", *row, {k: found[k] for k in ("alpha", "distance") if k in found}, flush=True)


def _row(said: Mapping[str, Any]) -> Row:
    return said["dealt"], said["attack"], said["defence"], said["seed"]


if __name__ == "__main__":
    main()
