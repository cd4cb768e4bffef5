"""One plan, round by round, each federated round followed by a plain loop over the same batches on the same cores.

Prints JSON: ``{"federated": [s…], "plain": [s…], "sites": [s…], "import_s": s, "ready_s": s}``. Run by ``run.py``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

BEGAN = time.perf_counter()

from plain import PlainLoop, PlainLoops  # noqa: E402

from wardround.fabric.base import Fabric  # noqa: E402
from wardround.fabric.local import LocalFabric  # noqa: E402
from wardround.fabric.workers import WorkerFabric  # noqa: E402
from wardround.rounds.coordinator import Coordinator  # noqa: E402
from wardround.rounds.record import RoundRecord  # noqa: E402
from wardround.study.build import make_opener, sites_of  # noqa: E402
from wardround.study.folder import RunFolder  # noqa: E402
from wardround.study.spec import parse, to_json  # noqa: E402


class TurnAbout:
    """A coordinator's listener that runs the plain loop after every round, and times both.

    Attributes:
        plain: trains on the batches of one round.
        federated_s: seconds of each round, from the end of the one before to its record on disk.
        plain_s: seconds of the plain loop on the same batches.
        sites_s: seconds that the sites themselves report, added up per round.
    """

    def __init__(self, plain: Callable[[int], None]) -> None:
        self.plain = plain
        self.federated_s: list[float] = []
        self.plain_s: list[float] = []
        self.sites_s: list[float] = []
        self._resumed = time.perf_counter()

    def answered(self, round_index: int, site: str, failure: str | None) -> None:
        """Stop at the first failure: a round without one of its sites is no measurement."""
        if failure:
            raise RuntimeError(f"round {round_index}, site {site}: {failure}")

    def completed(self, record: RoundRecord) -> None:
        """Note the round's time, and give the plain loop its turn."""
        began = time.perf_counter()
        self.federated_s.append(began - self._resumed)
        self.sites_s.append(sum(said["seconds"] for said in record.accepted.values()))
        self.plain(record.round)
        self._resumed = time.perf_counter()
        self.plain_s.append(self._resumed - began)


def main(cores: int, rounds: int, steps: int) -> None:
    """Measure on `cores` cores: ``LocalFabric`` that encodes on one, ``WorkerFabric`` on more."""
    imported = time.perf_counter()
    plan = parse(
        {
            "name": "federation-cost",
            "rounds": rounds,
            "data": {"source": "slide", "size_px": 32},
            "training": {"steps": steps, "batch_size": 32, "learning_rate": 0.05, "precision": "float32"},
            "evaluation": {"every": 0, "bootstrap": 0},
        }
    )
    names = sorted(sites_of(plan, None))
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        opener = partial(make_opener, to_json(plan), None, f"{scratch}/sites")
        fabric: Fabric = WorkerFabric(names, opener, cores) if cores > 1 else LocalFabric(names, opener(), encoded=True)
        plain = PlainLoops(to_json(plan), names, cores) if cores > 1 else PlainLoop(plan, names)
        listener = TurnAbout(plain)
        try:
            ready = time.perf_counter()
            Coordinator(plan, fabric, RunFolder.create(Path(scratch) / "run", plan, resume=False), listener).run()
        finally:
            fabric.close()
            if isinstance(plain, PlainLoops):
                plain.close()
    found = {"federated": listener.federated_s, "plain": listener.plain_s, "sites": listener.sites_s}
    print(json.dumps({**found, "import_s": imported - BEGAN, "ready_s": ready - began}))


if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(sys.argv[1]) :])
    main(*map(int, sys.argv[1:]))
