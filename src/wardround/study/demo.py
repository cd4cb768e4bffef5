"""The main job on the embedded slide, between its two yardsticks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wardround.algorithms import Central, Local
from wardround.rounds.coordinator import Listener
from wardround.rounds.plan import Plan
from wardround.study.floor import colour_floor
from wardround.study.folder import RunFolder
from wardround.study.run import folder_of, train
from wardround.study.spec import parse

DEMO = {
    "name": "demo-federated",
    "rounds": 30,
    "data": {"source": "slide"},
    "training": {"learning_rate": 0.02, "momentum": 0.9, "schedule": "cosine", "augment": "dihedral", "keep_optimiser": True},
    "evaluation": {"every": 3},
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
    central = replace(plan, name="demo-central", algorithm=Central(), training=replace(plan.training, keep_optimiser=True))
    local = replace(plan, name="demo-local", algorithm=Local())
    runs = []
    for each in (central, local, plan):
        with show(each) as listener:
            runs.append(train(each, out / folder_of(each, None).name, resume=True, listener=listener))
    floor = colour_floor(plan, None)
    folder = RunFolder(runs[2])
    folder.write_summary({**folder.summary(), "floor": floor})
    return DemoResult(runs[2], (runs[0], runs[1]), floor)
