"""Rounds of one site over a whole or a cut network, in a fresh process; prints JSON. Run by ``run.py``.

Arguments: the way as in `WAYS`, steps a round, rounds.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from wardround.fabric.local import LocalFabric
from wardround.rounds.coordinator import Coordinator
from wardround.study.build import opener_for, sites_of
from wardround.study.folder import RunFolder
from wardround.study.spec import parse

BATCH_SIZE = 8
SIZE_PX = 48
WAYS: dict[str, tuple[dict[str, Any], bool]] = {
    "whole": ({"algorithm": {"name": "fedavg"}}, False),
    "split": ({"algorithm": {"name": "splitfed_v1"}, "split": {}}, False),
    "split, encoded": ({"algorithm": {"name": "splitfed_v1"}, "split": {}}, True),
    "split, bf16, encoded": ({"algorithm": {"name": "splitfed_v1"}, "split": {"wire": "bf16"}}, True),
    "split, int8, encoded": ({"algorithm": {"name": "splitfed_v1"}, "split": {"wire": "int8"}}, True),
}
"""Name -> tables of the plan, and whether messages go through the wire format."""


def main(way: str, steps: int, rounds: int) -> None:
    """Run, and print seconds of each step, the peak of memory, bytes of a step, and the loss."""
    tables, encoded = WAYS[way]
    plan = parse(
        {
            "name": "step",
            "rounds": rounds,
            "data": {"size_px": SIZE_PX, "stride_px": 24, "sites": {"by": "iid", "sites": 1}},
            "task": {"name": "segmentation"},
            "model": {"name": "unet"},
            "training": {"steps": steps, "batch_size": BATCH_SIZE, "precision": "float32"},
            "evaluation": {"every": 0, "bootstrap": 0},
            **tables,
        }
    )
    with tempfile.TemporaryDirectory() as scratch:
        sites = sites_of(plan, None)
        folder = RunFolder.create(Path(scratch) / "run", plan, resume=False)
        fabric = LocalFabric(list(sites), opener_for(plan, sites, folder.store_root), encoded)
        result = Coordinator(plan, fabric, folder).run()
    crossed = [record.split for record in result.records if record.split is not None]
    found = {
        "step_s": [record.seconds["train"] / steps for record in result.records[1:]],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "step_bytes": sum(said["bytes_up"] + said["bytes_down"] for said in crossed) / (steps * rounds),
        "model": result.model_sha256,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
