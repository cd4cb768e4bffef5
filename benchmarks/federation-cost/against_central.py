"""The same plan federated and central, whole runs in turn, in one process on one core.

Prints JSON: ``{"federated": [{"wall": s, "train": s, "examples": n}…], "central": […]}``. Run by ``run.py``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import parse

SITES = 4


def plan(algorithm: str, rounds: int, steps: int) -> Plan:
    """Return the plan; the pooled site takes as many steps as all sites together."""
    return parse(
        {
            "name": algorithm,
            "rounds": rounds,
            "data": {"source": "slide", "size_px": 32},
            "algorithm": {"name": algorithm},
            "training": {
                "steps": steps * SITES if algorithm == "central" else steps,
                "batch_size": 32,
                "learning_rate": 0.05,
                "precision": "float32",
            },
            "evaluation": {"every": 10},
        }
    )


def timed(what: Plan, scratch: Path, core: int) -> dict[str, Any]:
    """Run one plan from its data to its run folder."""
    began = time.perf_counter()
    path = train(what, scratch / f"{what.name}-{time.monotonic_ns()}", workers=0)
    wall = time.perf_counter() - began
    records = RunFolder(path).records()
    steps = sum(len(record.accepted) for record in records) * what.training.steps
    seconds = RunFolder(path).summary()["seconds"]
    return {"wall": wall, "phases": seconds, "examples": steps * what.training.batch_size, "core": core}


def main(repeats: int, rounds: int, steps: int) -> None:
    """Run both in turn, and swap who goes first."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    federated, central = plan("fedavg", rounds, steps), plan("central", rounds, steps)
    found: dict[str, list[dict[str, Any]]] = {"federated": [], "central": []}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in ("fedavg", "central"):
            timed(plan(name, 1, 1), scratch, core)  # imports, caches
        for repeat in range(repeats):
            pair = [("federated", federated), ("central", central)]
            for name, what in pair if repeat % 2 == 0 else pair[::-1]:
                found[name].append(timed(what, scratch, core))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
