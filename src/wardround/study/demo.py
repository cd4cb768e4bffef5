"""The main job on the embedded slide, between its two yardsticks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wardround.algorithms import Central, Local
from wardround.algorithms.server import ServerSgd
from wardround.rounds.listener import Listener
from wardround.rounds.plan import Plan
from wardround.study.floor import colour_floor
from wardround.study.folder import RunFolder
from wardround.study.run import folder_of, train
from wardround.study.spec import parse

DEMO = {
    "name": "demo-federated",
    "rounds": 60,
    "data": {"source": "slide"},
    "training": {
        "epochs": 0.5,
        "optimiser": "adamw",
        "learning_rate": 0.001,
        "keep_optimiser": True,
        "schedule": "cosine",
        "augment": "dihedral",
    },
    "server": {"momentum": 0.5},
    "evaluation": {"every": 5},
}


@dataclass(frozen=True)
class DemoResult:
    """What the demo trained.

    Attributes:
        federated: run folder of the main job.
        yardsticks: run folders of ``central`` and ``local``.
        floor: see `colour_floor`.
    """

    federated: Path
    yardsticks: tuple[Path, Path]
    floor: dict[str, Any]


def demo(out: Path, show: Callable[[Plan], AbstractContextManager[Listener]]) -> DemoResult:
    """Train central, local and federated, from the same initial weights and on the same split.

    A run that is there already is not trained again.

    Args:
        out: folder for the three run folders.
        show: makes the listener of a run.
    """
    plan = parse(DEMO)
    alone = replace(plan, server=ServerSgd())  # momentum over rounds steadies a mean of several sites; here is but one
    central = replace(alone, name="demo-central", algorithm=Central())
    local = replace(alone, name="demo-local", algorithm=Local())
    runs = []
    for each in (central, local, plan):
        with show(each) as listener:
            runs.append(train(each, out / folder_of(each, None).name, resume=True, listener=listener))
    floor = colour_floor(plan, None)
    folder = RunFolder(runs[2])
    beside = [f"../{run.name}" for run in runs[:2]]
    folder.write_summary({**folder.summary(), "floor": floor, "beside": beside})
    return DemoResult(runs[2], (runs[0], runs[1]), floor)
