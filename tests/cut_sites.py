"""Tiny sites whose network is cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rigged
import tiny

from wardround.fabric.local import LocalFabric
from wardround.rounds.coordinator import Coordinator, RunResult
from wardround.rounds.plan import Plan
from wardround.study.simulation import introduce_sites
from wardround.study.spec import parse, to_json

SPLITTING = ("split_learning", "splitfed_v1", "splitfed_v2", "splitfed_v3", "dcsfl", "interleaved")


def plan(algorithm: str, split: Mapping[str, Any] | None = None, **changes: Any) -> Plan:
    """Return a tiny plan over a network that is cut, or over the whole of the same one."""
    table: dict[str, Any] = {
        "name": "tiny",
        "rounds": 2,
        "task": {"name": "segmentation"},
        "model": {"name": "unet", "widths": [4, 6, 8]},
        "algorithm": {"name": algorithm},
        "training": {"steps": 2, "batch_size": 4, "momentum": 0.9, "precision": "float32"},
        "evaluation": {"every": 0, "bootstrap": 0},
    }
    if algorithm in SPLITTING:
        table["split"] = {"depth": 1, **(split or {})}
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, Mapping) else value
    return parse(table)


def fabric(of: Plan, stores: Path, names: tuple[str, ...] = tiny.NAMES, encoded: bool = True) -> LocalFabric:
    """Return tiny sites in this process, each with a network of its own."""
    sizes = tuple((name, size) for name, size in tiny.SIZES if name in names)
    if of.needs_keys:
        introduce_sites(stores, names)
    return LocalFabric(names, tiny.make_opener(to_json(of), sizes, str(stores)), encoded)


def run(
    of: Plan,
    folder: Path,
    tamper: rigged.Tamper = rigged.honest,
    journal: rigged.Memory | None = None,
    names: tuple[str, ...] = tiny.NAMES,
    encoded: bool = True,
) -> tuple[RunResult, rigged.Memory, rigged.Tampering]:
    """Run a plan over tiny sites; see `rigged.run`."""
    journal = journal or rigged.Memory(folder / "journal")
    seen = rigged.Tampering(fabric(of, folder, names, encoded), tamper)
    return Coordinator(of, seen, journal).run(), journal, seen
