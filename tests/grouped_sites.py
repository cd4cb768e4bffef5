"""Six tiny sites whose updates are summed in groups, and what their updates are in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rigged
import tiny
from rigged import Memory, Tamper, Tampering

from wardround.core.codec import decode
from wardround.core.update import Tensors
from wardround.fabric.local import LocalFabric
from wardround.rounds.coordinator import Coordinator, RunResult
from wardround.rounds.plan import Plan
from wardround.study.simulation import introduce_sites
from wardround.study.spec import to_json

NAMES = ("alba", "brno", "cork", "dijon", "evora", "faro")
SIZES = tuple((name, 8 + 4 * place) for place, name in enumerate(NAMES))
QUANTISE = {**tiny.QUANTISE, "floor": 4.0}
"""With a range that no tiny update leaves."""
MASKED = [tiny.CLIP, QUANTISE, {"stage": "masks"}]
NORMS = [{"name": "norms", "times": 1e6}]
"""Judges, and lets everything through."""


def plan(**changes: Any) -> Plan:
    """Return a plan of groups of two under masks."""
    return tiny.plan(**{"groups": {"size": 2}, "protect": MASKED, "screen": NORMS, **changes})


def fabric(of: Plan, folder: Path) -> LocalFabric:
    """Return the sites in this process."""
    if of.needs_keys:
        introduce_sites(folder, NAMES)
    return LocalFabric(NAMES, tiny.make_opener(to_json(of), SIZES, str(folder)), encoded=True)


def run(
    of: Plan, folder: Path, tamper: Tamper = rigged.honest, journal: Memory | None = None
) -> tuple[RunResult, Memory, Tampering]:
    """Run a plan."""
    journal, made = journal or Memory(), Tampering(fabric(of, folder), tamper)
    return Coordinator(of, made, journal).run(), journal, made


def bare(folder: Path, **changes: Any) -> Mapping[str, Tensors]:
    """Return what each site learns in the first round, as it sends it without any stage."""
    _, _, made = run(tiny.plan(rounds=1, **changes), folder)
    return {site: decode(frame).tensors for op, site, frame in made.wire if op == "train" and site != "coordinator"}
