"""Every screen and aggregator against label flips and model replacement, on HAM10000.

    WARDROUND_DATA=folder python experiments/robust-classification/run.py [OUT] [--calibrate | --benign N]

One process, one core. Each finished run is a line of ``OUT/runs.jsonl``; started again, it goes on after the last.
Without an option it makes the table. ``--calibrate`` runs the e-detector with other seeds, on which its settings were
chosen; ``--benign N`` runs it N times without an attack, with seeds of their own, for its false alarms.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rows import CALIBRATION, CALIBRATION_SEEDS, DEALT, SEEDS, VICTIMS, attacks, defences, plan_of

from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.errors import PlanError, QuorumLost
from wardround.fabric.local import LocalFabric
from wardround.rounds.listener import Silent
from wardround.study.build import dealt, opener_for
from wardround.study.folder import RunFolder
from wardround.study.run import run_plan

FLAGGED = 0.5
"""A site counts as flagged in a round in which it has less than this part of the trust that the median site has."""
Row = tuple[str, str, str, int]
OURS = "e-detector"


def table() -> Iterator[Row]:
    """Yield what the table needs, seed by seed, so that a run that is stopped leaves whole tables of fewer seeds."""
    for seed in SEEDS:
        for by in DEALT:
            for attack in attacks(by):
                yield from ((by, attack, defence, seed) for defence in defences(1))


def calibration() -> Iterator[Row]:
    """Yield runs of the e-detector with seeds of their own."""
    for seed in CALIBRATION_SEEDS:
        for by in DEALT:
            for attack in ("benign", CALIBRATION):
                yield by, attack, OURS, seed


def benign(count: int) -> Iterator[Row]:
    """Yield runs without an attack, a third for each way of dealing."""
    for index in range(count):
        yield tuple(DEALT)[index % len(DEALT)], "benign", OURS, 3000 + index


@cache
def _sites(by: str, seed: int, root: Path) -> tuple[dict[str, SiteData], LabelledImages | None]:
    """Return the sites and the coordinator's images; the latter are set aside whoever asks for them.

    So all defences train and are tested on the same images.
    """
    return dealt(plan_of(by, "benign", OURS, seed), root)


def measured(row: Row, root: Path) -> dict[str, Any]:
    """Train, and return what came of it; a refused plan, and a run that lost every site to a screen, say so."""
    by, attack, defence, seed = row
    said: dict[str, Any] = {"dealt": by, "attack": attack, "defence": defence, "seed": seed}
    plan = plan_of(by, attack, defence, seed)
    sites, probe = _sites(by, seed, root)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        fabric = LocalFabric(tuple(sites), opener_for(plan, sites, Path(folder) / "sites"))
        try:
            run_plan(plan, fabric, path, False, Silent(), root, probe, sites)
        except (PlanError, QuorumLost) as refusal:
            return {**said, "refused": str(refusal)}
        summary, records = RunFolder(path).summary(), RunFolder(path).records()
    culprits = {site for one in plan.attacks or () for site in one.sites}
    pooled = summary["metrics"]["pooled"]
    return {
        **said,
        **{name: pooled[name] for name in ("auc", "auc_malignant", "balanced_accuracy")},
        "success": success(summary),
        **_flags(records, culprits, min((one.from_round for one in plan.attacks or ()), default=0)),
        "most_log_evidence": _most(records, culprits),
        "cpu_s": round(time.process_time() - began, 2),
    }


def success(summary: Mapping[str, Any]) -> float:
    """Return the share of the attack's victims, test images of honest sites, that are taken for its target.

    Without an attack: the share of nevi that are taken for melanomas.
    """
    if summary.get("attacks"):
        return float(summary["attacks"][0]["success"])
    source, target = (summary["classes"].index(VICTIMS[which]) for which in ("source", "target"))
    rows = [counts[source] for counts in summary["confusion"].values()]
    return float(sum(row[target] for row in rows) / sum(sum(row) for row in rows))


def _flags(records: list[Any], culprits: set[str], since: int) -> dict[str, int]:
    found = {"honest": 0, "honest_flagged": 0, "malicious": 0, "malicious_flagged": 0}
    for record in records:
        trust = {site: record.judged.get(site, {}).get("trust", 1.0) for site in record.cohort}
        least = FLAGGED * float(np.median(list(trust.values())))
        for site, left in trust.items():
            who = "malicious" if site in culprits and record.round >= since else "honest"
            found[who] += 1
            found[f"{who}_flagged"] += left < least or not left
    return found


def _most(records: list[Any], culprits: set[str]) -> float | None:
    values = [
        said["evidence"]["e_detector log evidence"]
        for record in records
        for site, said in record.judged.items()
        if site not in culprits and "e_detector log evidence" in said["evidence"]
    ]
    return max(values, default=None)


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", default="runs/robust-classification", type=Path)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--benign", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    lines = asked.out / ("calibration.jsonl" if asked.calibrate else "benign.jsonl" if asked.benign else "runs.jsonl")
    done = {_row(json.loads(line)) for line in lines.read_text().splitlines()} if lines.exists() else set()
    rows = list(calibration() if asked.calibrate else benign(asked.benign) if asked.benign else table())
    root = Path(os.environ["WARDROUND_DATA"])
    for place, row in enumerate(rows):
        if row in done:
            continue
        found = measured(row, root)
        with lines.open("a") as opened:
            opened.write(json.dumps(found) + "\n")
        print(f"{place + 1}/{len(rows)}", *row, {k: found[k] for k in ("auc", "success") if k in found}, flush=True)


def _row(said: Mapping[str, Any]) -> Row:
    return said["dealt"], said["attack"], said["defence"], said["seed"]


if __name__ == "__main__":
    main()
