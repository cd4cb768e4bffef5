"""Every screen and aggregator against a site that teaches the shared generator a mark, on a bed of small generators.

    WARDROUND_DATA=folder python experiments/fedgan-screens/run.py [OUT] [--minutes M]

One process, one core. Each finished run is a line of ``OUT/runs.jsonl``; started again, it goes on after the last. The
judges, and the weights that every run goes on from, are trained first and kept in OUT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import (
    BELIEVE_LOSSES,
    DEALT,
    HARM,
    ORACLE,
    OURS,
    PLAIN,
    SEEDS,
    UNSEEN,
    attacks,
    judge_plan,
    plan_of,
    start_plan,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-vanilla"))

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

FLAGGED = 0.5
"""A site counts as flagged in a round in which less than this part of its weight is left to it."""
BENIGN_SEED, BENIGN_RUNS, BENIGN = 1000, 50, "iid, 4, short"
FEW = (PLAIN, "clip norms", "median", "geometric median", OURS, ORACLE)
OF_EIGHT = (*FEW, "krum", "multi-krum")
"""Krum needs five sites."""
OTHERS = (
    "FLTrust",
    "AlignIns",
    "FedDetect, calibrated",
    "mixing, median",
    "FLAME",
    "FoolsGold",
    "FedDetect",
    "trimmed mean",
    "centred clipping",
    "norms",
)
Row = tuple[str, str, str, int]


def table() -> Iterator[Row]:
    """Yield all runs, what matters most first, so that a run that is stopped leaves whole cells.

    All defences are compared on four sites; a few on eight, of which two attack, and on twenty, which cost more.
    """
    yield from _rows([("iid, 4", ["x3"], FEW), ("real", ["x3"], (PLAIN, "clip norms", OURS, ORACLE))])
    yield from _rows([(by, ["benign"], (PLAIN, OURS)) for by in ("iid, 4", "real")])
    each = BENIGN_RUNS // len(OTHERS)
    for place, name in enumerate(OTHERS):
        yield from _rows([("iid, 4", ["x3, lying" if name in BELIEVE_LOSSES else "x3"], (name,))])
        yield from ((BENIGN, "benign", OURS, BENIGN_SEED + each * place + more) for more in range(each))
    yield from _rows(
        [
            *(("iid, 4", [name], (PLAIN,)) for name in list(HARM)[:4]),
            ("iid", ["x3"], (PLAIN, OURS, ORACLE)),
            *(("iid, 4", [name], (PLAIN,)) for name in list(HARM)[4:]),
            *(("iid, 4", [name], (OURS,)) for name in UNSEEN),
            ("dirichlet", ["x3"], (PLAIN, OURS, ORACLE)),
            ("iid", ["x3"], OF_EIGHT),
            ("iid, 4", ["plain"], FEW[:-1]),
            ("iid", ["benign"], (PLAIN, OURS)),
            ("iid, 4", ["benign"], ("clip norms", "median", "geometric median", *OTHERS)),
            ("real", ["x3"], OTHERS),
            ("iid, 20", ["x3", "benign"], (PLAIN, OURS)),
            ("iid, 20", ["x3"], (ORACLE,)),
            ("dirichlet", ["benign"], (PLAIN, OURS)),
            ("dirichlet", ["x3"], ("clip norms", "median", "mixing, median", "FLTrust", "FLAME")),
        ]
    )


def _rows(blocks: Iterable[tuple[str, Sequence[str], Sequence[str]]]) -> Iterator[Row]:
    for by, attacked, chosen in blocks:
        for seed in SEEDS:
            yield from ((by, attack, defence, seed) for attack in attacked for defence in chosen)


@cache
def _sites(by: str, seed: int, root: Path) -> tuple[dict[str, SiteData], LabelledImages | None]:
    """Return the sites and the coordinator's images, which are set aside whoever asks for them."""
    return dealt(plan_of(by, [], OURS, seed, {}), root)


@cache
def _judge(data: str, out: Path, root: Path) -> Judge:
    """Return the judge of a data set, and its real images: those of the validation part."""
    plan = judge_plan(data)
    folder = RunFolder(train(plan, out / plan.name, root, resume=True, workers=0))
    way = next(by for by, dealt_so in DEALT.items() if dealt_so.data == data)
    held = list(_sites(way, SEEDS[0], root)[0].values())
    return Judge(loaded(folder, plan, None)[1], {"val": joined([site.val for site in held])})


@cache
def _start(data: str, out: Path, root: Path) -> dict[str, str]:
    """Return the ``[start]`` of a data set."""
    plan = start_plan(data)
    file = train(plan, out / plan.name, root, resume=True, workers=0) / "model.safetensors"
    return {"file": str(file.resolve()), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def measured(row: Row, out: Path, root: Path) -> dict[str, Any]:
    """Train, and return what came of it; a refused plan, and a run that lost every site to a screen, say so."""
    by, attack, defence, seed = row
    said: dict[str, Any] = {"dealt": by, "attack": attack, "defence": defence, "seed": seed}
    tables, culprits = attacks(by)[attack], set()
    judge = _judge(DEALT[by].data, out, root)
    sites, probe = _sites(by, seed, root)
    if defence == ORACLE:
        sites = {name: site for name, site in sites.items() if name not in DEALT[by].culprits}
        trained_on: list[dict[str, Any]] = []
    else:
        trained_on, culprits = tables, {site for one in tables for site in one["sites"]}
    began = time.process_time()
    try:
        plan = plan_of(by, trained_on, defence, seed, _start(DEALT[by].data, out, root))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run"
            fabric = LocalFabric(tuple(sites), opener_for(plan, sites, Path(folder) / "sites", root))
            run_plan(plan, fabric, path, False, Silent(), root, probe if plan.probe else None, sites)
            task, network = generator_of(path)
            records = RunFolder(path).records()
    except (PlanError, QuorumLost) as refusal:
        return {**said, "refused": str(refusal)}
    cpu_s = time.process_time() - began
    return {**said, **judged(judge, task, network, tables), **_flags(records, culprits), "cpu_s": round(cpu_s, 2)}


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


def _flags(records: list[Any], culprits: set[str]) -> dict[str, int]:
    found = {"honest": 0, "honest_flagged": 0, "malicious": 0, "malicious_flagged": 0}
    for record in records:
        for site in record.cohort:
            who = "malicious" if site in culprits else "honest"
            found[who] += 1
            found[f"{who}_flagged"] += record.judged.get(site, {}).get("trust", 1.0) < FLAGGED
    return found


def untrained(out: Path, root: Path) -> dict[str, Any]:
    """Return what the weights that every run goes on from, and those before any training, score."""
    found = {}
    for data in {way.data for way in DEALT.values()}:
        judge, file = _judge(data, out, root), Path(_start(data, out, root)["file"])
        task, network = generator_of(file.parent)
        found[data] = {
            "start": judged(judge, task, network, []),
            "untrained": judged(judge, task, task.build(start_plan(data).seed), []),
        }
    return found


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="runs/fedgan-screens", type=Path)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further run after so many")
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
        if row in done:
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
