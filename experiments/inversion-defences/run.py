"""Do defences hide images, and what do they cost?

    WARDROUND_DATA=folder python experiments/inversion-defences/run.py [OUT [STAGE ...]]

OUT keeps what is done; a second call goes on with the rest. The tables are written from what is there, by the stage
`tables` without measuring anything. `policies` and `choice` come first: they set what later stages measure.
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
import policies  # noqa: E402
import tables  # noqa: E402
import updates  # noqa: E402
import utility  # noqa: E402
import wire  # noqa: E402
from settings import GREY, HAM, PNEUMONIA, VICTIM  # noqa: E402

from wardround.study.build import sites_of  # noqa: E402

EACH = 12
STAGES = (
    *("design", "policies", "choice", "bar", "bar-grey", "bar-chosen", "ats", "strengths", "rounds"),
    *(
        "updates",
        "ten-rounds",
        "more-updates",
        "wire",
        "utility",
        "precise",
        "others",
        "frontier",
        "frontier-seeds",
        "shadows",
    ),
)


def main() -> None:
    """Measure what is not measured yet, then write the tables."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/inversion-defences")
    data = Path(os.environ["WARDROUND_DATA"])
    torch.set_num_threads(1)
    wanted = sys.argv[2:] or STAGES
    sites, grey = sites_of(VICTIM, data), sites_of(GREY, data)
    both = {HAM: (VICTIM, sites), PNEUMONIA: (GREY, grey)}
    stages: dict[str, Callable[[], None]] = {
        "tables": lambda: None,
        "design": lambda: disguises.choose(sites, out),
        "policies": lambda: policies.search(both),
        "choice": lambda: utility.measure(data, out, utility.pilot()),
        "bar": lambda: disguises.measure(VICTIM, sites, out / "bar", EACH),
        "bar-grey": lambda: disguises.measure(GREY, grey, out / "bar-grey", EACH),
        "bar-chosen": lambda: disguises.measure_chosen(both, out, EACH),
        "ats": lambda: disguises.measure_ats(both, out, EACH),
        "strengths": lambda: disguises.measure_strengths(sites, out, EACH),
        "rounds": lambda: disguises.measure_rounds(sites, out, EACH),
        "updates": lambda: updates.measure(both, out, updates.core),
        "ten-rounds": lambda: updates.measure(both, out, updates.ten),
        "shares": lambda: updates.measure(both, out, updates.shares),
        "more-updates": lambda: updates.measure(both, out, updates.more),
        "wire": lambda: wire.measure(data, out),
        "utility": lambda: utility.measure(data, out, utility.headline()),
        "precise": lambda: utility.measure(data, out, utility.precise()),
        "others": lambda: utility.measure(data, out, utility.others()),
        "shadows": lambda: utility.measure(data, out, utility.shadows()),
        "frontier": lambda: utility.measure(data, out, utility.frontier(utility.FRONTIER_SEEDS[:1])),
        "frontier-seeds": lambda: utility.measure(data, out, utility.frontier()),
    }
    for name in wanted:
        began = time.process_time()
        stages[name]()
        with (out / "cpu_seconds").open("a") as file:
            file.write(f"{name} {time.process_time() - began:.0f}\n")
        tables.write(out)


if __name__ == "__main__":
    main()
