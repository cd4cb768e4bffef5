"""One rule of one library, once or more, in a process of its own: CPU seconds of each, and peak memory.

python once.py wardround|flower RULE SITES QUICK REPEATS
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZES = (7 * 7 * 3 * 64, 512 * 512 * 9, 2048 * 1000)
MALICIOUS = 2


def shapes(quick: bool) -> list[int]:
    """Return sizes of arrays that add up to the 23.5 million weights of a ResNet-50, small and large ones mixed."""
    total, sizes = 23_500_000 // (10 if quick else 1), []
    while total:
        sizes.append(min(total, SIZES[len(sizes) % len(SIZES)]))
        total -= sizes[-1]
    return sizes


def ours(rule: str, sites: int, sizes: list[int]) -> Callable[[], Any]:
    """Return a rule of this package on fresh updates."""
    from wardround.aggregate import GeometricMedian, Krum, Mean, Median, TrimmedMean
    from wardround.core.update import Update

    aggregators = {
        "mean": Mean("uniform"),
        "median": Median(),
        "trimmed mean": TrimmedMean(MALICIOUS),
        "krum": Krum(MALICIOUS),
        "geometric median": GeometricMedian(),
    }
    updates = [
        Update(f"site-{n}", 0, {f"net/{place:03d}": values for place, values in enumerate(made(n, sizes))}, 1)
        for n in range(sites)
    ]
    return lambda: aggregators[rule].combine(iter(updates)).mean()


def theirs(rule: str, sites: int, sizes: list[int]) -> Callable[[], Any]:
    """Return a rule of Flower on the same updates."""
    import peer

    chosen = peer.load()[rule]
    results = [(made(n, sizes), 1) for n in range(sites)]
    return lambda: chosen(results, MALICIOUS)


def made(site: int, sizes: list[int]) -> list[np.ndarray]:
    """Return one site's arrays, float32."""
    rng = np.random.default_rng(site)
    return [rng.standard_normal(size, np.float32) for size in sizes]


def checked(found: Any) -> float:
    """Return the sum of squares of the result, by which the two libraries are held against each other."""
    arrays = found.values() if isinstance(found, dict) else found
    return float(sum(np.sum(np.square(values, dtype=np.float64)) for values in arrays))


def main() -> None:
    """Measure; one line of JSON."""
    library, rule, sites, quick, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1", sys.argv[5]
    run = (ours if library == "wardround" else theirs)(rule, sites, shapes(quick))
    held = _memory_mib()
    seconds = []
    for _ in range(int(repeats)):
        began = time.process_time()
        found = run()
        seconds.append(time.process_time() - began)
    print(json.dumps({"seconds": seconds, "held_mib": held, "peak_mib": _memory_mib(), "check": checked(found)}))


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
