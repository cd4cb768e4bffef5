"""The plans that are compared, how they are run, and what is read of a run; for every experiment on cut networks."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shifts import strengthened

from wardround.data.sites import Iid, SiteData
from wardround.fabric.local import LocalFabric
from wardround.rounds.listener import Silent
from wardround.rounds.plan import Plan
from wardround.study.build import POOLED_SITE, joined, opener_for, sites_of
from wardround.study.folder import RunFolder
from wardround.study.run import run_plan
from wardround.study.simulation import introduce_sites
from wardround.study.spec import load, parse, to_table

HERE = Path(__file__).parent
FIRST_SEED = 11
OURS = "every step"
SEALED = "every step, sealed"
FEDAVG = "fedavg = splitfed_v1"
EVERY_STEP = {"steps": 1, "batch_size": 2, "keep_optimiser": True}
METHODS: dict[str, dict[str, Any]] = {
    "central": {"algorithm": {"name": "central"}, "training": {"steps": 100}},
    FEDAVG: {"algorithm": {"name": "fedavg"}},
    OURS: {"algorithm": {"name": "fedavg"}, "training": EVERY_STEP},
    SEALED: {
        "algorithm": {"name": "splitfed_v1"},
        "split": {},
        "training": EVERY_STEP,
        "protect": [{"stage": "clip"}, {"stage": "quantise", "bits": 16}, {"stage": "masks"}],
    },
    "splitfed_v2": {"algorithm": {"name": "splitfed_v2"}, "split": {}},
    "interleaved, rounds of 5": {
        "algorithm": {"name": "interleaved"},
        "split": {},
        "training": {"steps": 5, "keep_optimiser": True},
    },
    "local": {"algorithm": {"name": "local"}},
    "fedprox": {"algorithm": {"name": "fedprox", "mu": 0.01}},
    "fedavg, rounds of 5": {"algorithm": {"name": "fedavg"}, "training": {"steps": 5, "keep_optimiser": True}},
    "split_learning": {"algorithm": {"name": "split_learning"}, "split": {}},
    "splitfed_v3": {"algorithm": {"name": "splitfed_v3"}, "split": {}},
    "dcsfl, released": {"algorithm": {"name": "dcsfl", "form": "released"}, "split": {}},
    "dcsfl, intended": {"algorithm": {"name": "dcsfl", "form": "intended"}, "split": {}},
    "interleaved": {"algorithm": {"name": "interleaved"}, "split": {}},
    "interleaved, rounds of 5, int8": {
        "algorithm": {"name": "interleaved"},
        "split": {"wire": "int8"},
        "training": {"steps": 5, "keep_optimiser": True},
    },
    "interleaved, rounds of 5, norms stay": {
        "algorithm": {"name": "interleaved", "personal": "norms"},
        "split": {},
        "training": {"steps": 5, "keep_optimiser": True},
    },
}
"""``every step`` is splitfed_v1 in rounds of one step with batches of a quarter; FedAvg is that bit for bit."""
HEADLINE = ("central", FEDAVG, OURS, "splitfed_v2", "interleaved, rounds of 5")
"""With five seeds; the others have three, but for the sealed one, which has one, on natural sites."""
SEEDS, FEWER_SEEDS = 5, 3
IMAGES_A_SITE = 200
"""In a round of the base plan; shorter rounds are as many more, so that every method sees as many."""
SITES = ("natural", "strengthened", "iid")


def plan_of(method: str, sites: str, seed: int, rounds: int) -> Plan:
    """Return one method's plan."""
    table = to_table(load(HERE / "base.toml"))
    for key, value in METHODS[method].items():
        table[key] = {**table[key], **value} if key == "training" else value
    shorter = max(1, IMAGES_A_SITE // (table["training"]["steps"] * table["training"]["batch_size"]))
    plan = replace(parse(table), seed=seed, rounds=rounds * shorter)
    return replace(plan, data=replace(plan.data, sites=Iid(4))) if sites == "iid" else plan


def seeds_of(method: str, sites: str) -> list[int]:
    """Return the seeds of a method's runs."""
    if method == SEALED:
        return [FIRST_SEED] if sites == "natural" else []
    many = SEEDS if method in HEADLINE and sites != "iid" else FEWER_SEEDS
    return list(range(FIRST_SEED, FIRST_SEED + many))


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
    if plan.needs_keys:
        introduce_sites(folder.store_root, list(held))
    fabric = LocalFabric(list(held), opener_for(plan, held, folder.store_root))
    began = time.process_time()
    run_plan(plan, fabric, path, True, Silent())
    folder.write_file("cpu_s", f"{time.process_time() - began:.1f}\n".encode())


def cpu_s(path: Path) -> float:
    """Return how long a finished run computed."""
    return float((path / "cpu_s").read_text())
