"""The peak memory of a coordinator that adds the frames of N sites, and does nothing else.

``prepare`` writes a few different frames of every part to a folder, in a process of its own; ``add`` takes them from
there as it would from a socket, one at a time and again and again, and prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from updates import on_one_core, peak_bytes

from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.pipeline import Homomorphic, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.scheme import Scheme

BITS, WEIGHT_TOTAL = 16, 128
"""As many units of weight as the largest cohort needs, and the same scheme for all."""
DIFFERENT = 3


def prepare(folder: Path, num_values: int) -> None:
    """Write frames."""
    scheme = scheme_of()
    assert scheme.lattice is not None
    sealer, rng = Sealer(scheme.lattice, LatticeKey.new(scheme.lattice)), np.random.default_rng(0)
    for index, part in enumerate(scheme.parts(num_values)):
        for turn in range(DIFFERENT):
            values = rng.integers(-1000, 1000, part.stop - part.start)
            (folder / f"{index}-{turn}").write_bytes(scheme.seal(scheme.words(values, 1), sealer))
    print(json.dumps({"frames_bytes": scheme.upload_bytes(num_values)}))


def add(folder: Path, num_values: int, sites: int) -> None:
    """Add the frames of `sites` sites, and write the sum."""
    on_one_core()
    scheme = scheme_of()
    before, began = peak_bytes(), time.perf_counter()
    totals = []
    for index, part in enumerate(scheme.parts(num_values)):
        total = scheme.running_sum(part)
        for site in range(sites):
            total.add((folder / f"{index}-{site % DIFFERENT}").read_bytes())
        totals.append(total)
    size = sum(len(total.frame()) for total in totals)
    seconds = time.perf_counter() - began
    print(json.dumps({"peak_bytes": peak_bytes(), "before_bytes": before, "sum_bytes": size, "add_s": seconds}))


def scheme_of() -> Scheme:
    """Return the scheme of both processes."""
    return Scheme.of(Pipeline((Quantise(BITS, WEIGHT_TOTAL), Homomorphic())), WEIGHT_TOTAL)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        add(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
