"""What can be judged of sealed updates through the sums of groups, beside what is judged in the clear, on HAM10000.

    WARDROUND_DATA=folder python experiments/sealed-screening/run.py [OUT] [--benign N]

One process, one core. Each finished run is a line of ``OUT/runs.jsonl``; started again, it goes on after the last.
Without an option it makes the table. ``--benign N`` runs the screen of groups N times without an attack, with seeds of
their own, for its false alarms.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from accusations import counted
from arms import ARMS, EIGHT, EIGHT_ONE, SIXTEEN, UNLIKE, Hospitals, plan_for
from run import success  # that of robust-classification, whose folder comes first once arms is imported

from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.errors import QuorumLost
from wardround.fabric.local import LocalFabric
from wardround.rounds.listener import Silent
from wardround.study.build import dealt, opener_for
from wardround.study.folder import RunFolder
from wardround.study.run import run_plan
from wardround.study.simulation import introduce_sites

SEEDS = (61, 62, 63)
EVIDENCE, ONE_SUM = "sealed, groups, evidence", "sealed, one sum"
Row = tuple[Hospitals, str, str, int]


FIRST = ((EIGHT, "x5, lying"), (SIXTEEN, "x5, lying"), (EIGHT, "benign"), (SIXTEEN, "benign"))
THEN = ((UNLIKE, "x5, lying"), (UNLIKE, "benign"), (SIXTEEN, "flip"), (EIGHT_ONE, "x5, lying"))


def table() -> Iterator[Row]:
    """Yield what the table needs, what matters most first, so that a run that is stopped leaves whole columns.

    One masked sum of sixteen sites takes longest, and trains what the open mean trains: it comes last.
    """
    for hospitals, attack in FIRST:
        for seed in SEEDS:
            yield from ((hospitals, attack, arm, seed) for arm in ARMS)
    for arms in ([arm for arm in ARMS if arm != ONE_SUM], [ONE_SUM]):
        for hospitals, attack in THEN:
            for seed in SEEDS:
                yield from ((hospitals, attack, arm, seed) for arm in arms)


def benign(count: int) -> Iterator[Row]:
    """Yield runs without an attack, half of them with each number of sites."""
    for index in range(count):
        yield (EIGHT, SIXTEEN)[index % 2], "benign", EVIDENCE, 2000 + index


@cache
def _sites(hospitals: Hospitals, seed: int, root: Path) -> tuple[dict[str, SiteData], LabelledImages | None]:
    """Return the sites, and the coordinator's images: set aside whoever asks, so that all train on the same."""
    return dealt(plan_for(hospitals, "benign", "open, e-detector", seed), root)


def measured(row: Row, root: Path) -> dict[str, Any]:
    """Train, and return what came of it; a run that lost too many sites to a screen says so."""
    hospitals, attack, arm, seed = row
    said: dict[str, Any] = {"dealt": hospitals.name, "attack": attack, "arm": arm, "seed": seed}
    plan, culprits = plan_for(hospitals, attack, arm, seed), set(hospitals.malicious if attack != "benign" else ())
    sites, probe = _sites(hospitals, seed, root)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        stores = Path(folder) / "sites"
        if plan.needs_keys:
            introduce_sites(stores, tuple(sites))
        fabric = LocalFabric(tuple(sites), opener_for(plan, sites, stores), encoded=True)
        try:
            run_plan(plan, fabric, Path(folder) / "run", False, Silent(), root, probe, sites)
        except QuorumLost as lost:
            return {**said, "refused": str(lost)}
        found = RunFolder(Path(folder) / "run")
        summary, records = found.summary(), found.records()
    pooled = summary["metrics"]["pooled"]
    return {
        **said,
        **{name: pooled[name] for name in ("auc", "auc_malignant")},
        "success": success(summary, culprits),
        **counted(records, sorted(sites), culprits),
        "bytes_up": summary["bytes"]["up"],
        "bytes_down": summary["bytes"]["down"],
        "most_cut": max((said.get("cut", 0.0) for r in records for said in r.accepted.values()), default=0.0),
        "cpu_s": round(time.process_time() - began, 2),
    }


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="runs/sealed-screening", type=Path)
    parser.add_argument("--benign", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    lines = asked.out / ("benign.jsonl" if asked.benign else "runs.jsonl")
    kept = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    done = {(one["dealt"], one["attack"], one["arm"], one["seed"]) for one in kept}
    rows = list(benign(asked.benign) if asked.benign else table())
    root = Path(os.environ["WARDROUND_DATA"])
    for place, row in enumerate(rows):
        if (row[0].name, *row[1:]) in done:
            continue
        found = measured(row, root)
        with lines.open("a") as opened:
            opened.write(json.dumps(found) + "\n")
        print(f"{place + 1}/{len(rows)}", row[0].name, *row[1:], found.get("success"), found.get("cpu_s"), flush=True)


if __name__ == "__main__":
    main()
