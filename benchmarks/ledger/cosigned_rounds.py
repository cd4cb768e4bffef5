"""What the ledger takes of a run's rounds: seconds beside training, bytes on disk and on the wire.

Four sites on the embedded slide at 32 px, in this process on one core, masked and encrypted; rounds of three
passes, of one and of a tenth of one. A run's first round is left out, because in it the lists of used images begin, and
is given apart. Prints JSON. Run by ``run.py``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from wardround.ledger.log import ENTRIES_NAME
from wardround.rounds.logbook.keeper import Keeper
from wardround.rounds.record import RoundRecord
from wardround.study.folder import LEDGER, RunFolder
from wardround.study.run import train
from wardround.study.spec import parse

SITES = 4
STAGES = [{"stage": "clip"}, {"stage": "quantise"}, {"stage": "masks"}, {"stage": "homomorphic"}]


def run(rounds: int, epochs: float, cosign: str) -> dict[str, Any]:
    """Run one plan; return seconds and bytes a round."""
    plan = parse(
        {
            "name": "cosigned",
            "rounds": rounds,
            "data": {"source": "slide", "size_px": 32},
            "training": {"epochs": epochs, "batch_size": 32, "precision": "float32"},
            "evaluation": {"every": 0, "bootstrap": 0},
            "protect": STAGES,
            "ledger": {"cosign": cosign},
        }
    )
    entered: list[float] = []
    timed(entered)
    with tempfile.TemporaryDirectory() as scratch:
        path = train(plan, Path(scratch) / "run", workers=0)
        folder, records = RunFolder(path), RunFolder(path).records()
        summary = folder.summary()
        on_disk = (path / LEDGER / ENTRIES_NAME).stat().st_size
    rest = [record.seconds["train"] + record.seconds["server"] for record in records[1:]]
    wire = summary["ledger"]["bytes"]
    return {
        "round_s": sum(rest) / len(rest),
        "ledger_s": sum(entered[1:]) / len(entered[1:]),
        "first_ledger_s": entered[0],
        "disk_bytes_site_round": on_disk / SITES / rounds,
        "up_bytes_site_round": wire["up"] / SITES / rounds,
        "down_bytes_site_round": wire["down"] / SITES / rounds,
        "final": summary["ledger"]["final"],
    }


def timed(entered: list[float]) -> None:
    """Note how long each round's entry takes; the sites' own work in it is in this process too."""
    enter = _ENTER

    def noted(self: Keeper, record: RoundRecord) -> None:
        began = time.perf_counter()
        enter(self, record)
        entered.append(time.perf_counter() - began)

    Keeper.enter = noted  # type: ignore[method-assign]


_ENTER = Keeper.enter


def main(rounds: int) -> None:
    """Run long rounds and short ones, co-signed and not."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    run(2, 0.1, "sites")  # imports, caches
    kinds = {"2,100 images a site": 3.0, "700 images a site": 1.0, "70 images a site": 0.1}
    found = {}
    for name, epochs in kinds.items():
        for cosign in ("sites", "nobody"):
            found[f"{cosign}, {name}"] = run(rounds, epochs, cosign)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
