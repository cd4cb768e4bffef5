"""Do defences hide images, and what do they cost?

    WARDROUND_DATA=folder python experiments/inversion-defences/run.py [OUT [STAGE ...]]

Stages: bar, bar-grey, utility, rounds, wire, strengths, design, frontier. OUT keeps what is done; a second call goes on
with the rest. The tables are written from what is there, by the stage `tables` without measuring anything.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import disguises  # noqa: E402
import tables  # noqa: E402
import utility  # noqa: E402
import wire  # noqa: E402
from settings import GREY, VICTIM  # noqa: E402

from wardround.study.build import sites_of  # noqa: E402

EACH = 12
STAGES = ("bar", "bar-grey", "utility", "rounds", "wire", "strengths", "design", "frontier")


def main() -> None:
    """Measure what is not measured yet, then write the tables."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/inversion-defences")
    data = Path(os.environ["WARDROUND_DATA"])
    torch.set_num_threads(1)
    wanted = sys.argv[2:] or STAGES
    sites = sites_of(VICTIM, data)
    stages: dict[str, Callable[[], None]] = {
        "tables": lambda: None,
        "design": lambda: disguises.choose(sites, out),
        "bar": lambda: disguises.measure(VICTIM, sites, out / "bar", EACH),
        "bar-grey": lambda: disguises.measure(GREY, sites_of(GREY, data), out / "bar-grey", EACH),
        "strengths": lambda: disguises.measure_strengths(sites, out, EACH),
        "rounds": lambda: disguises.measure_rounds(sites, out, EACH),
        "utility": lambda: utility.measure(data, out, utility.headline()),
        "frontier": lambda: utility.measure(data, out, utility.frontier()),
        "wire": lambda: wire.measure(data, out),
    }
    for name in wanted:
        began = time.process_time()
        stages[name]()
        with (out / "cpu_seconds").open("a") as file:
            file.write(f"{name} {time.process_time() - began:.0f}\n")
        tables.write(out)


if __name__ == "__main__":
    main()
