"""Two sites and a body host on NVIDIA FLARE's proof-of-concept consortium; prints JSON. Run by ``run.py``.

Arguments: wire form, steps a round, rounds. The steps of step.py, in real processes over loopback sockets.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from step import BATCH_SIZE, SIZE_PX

from wardround.rounds.listener import Silent
from wardround.study import engines
from wardround.study.folder import RunFolder
from wardround.study.spec import parse

SITES = 2


def main(wire: str, steps: int, rounds: int) -> None:
    """Run; print the seconds of each step after the first round, and the bytes of one."""
    plan = parse(
        {
            "name": "step",
            "rounds": rounds,
            "data": {"size_px": SIZE_PX, "stride_px": 24, "sites": {"by": "iid", "sites": SITES}},
            "task": {"name": "segmentation"},
            "model": {"name": "unet"},
            "algorithm": {"name": "splitfed_v1"},
            "split": {"wire": wire, "body_host": "coordinator"},
            "training": {"steps": steps, "batch_size": BATCH_SIZE, "precision": "float32"},
            "evaluation": {"every": 0, "bootstrap": 0},
        }
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(engines.choose("flare-poc", None)(plan, Path(scratch) / "run", None, False, Silent()))
        records = folder.records()
    seconds = [record.seconds["train"] for record in records[1:]]
    crossed = [record.split for record in records if record.split is not None]
    found = {
        "steps_per_s": [SITES * steps / each for each in seconds],
        "step_bytes": sum(said["bytes_up"] + said["bytes_down"] for said in crossed) / (SITES * steps * rounds),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
