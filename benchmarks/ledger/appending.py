"""Entries appended to a log on disk, in batches that are each waited for. Prints JSON. Run by ``run.py``."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from wardround.ledger.log import Log

ENTRY_BYTES = 200
BATCHES = {1: 1000, 10: 500, 100: 300, 1000: 200}
"""Number of batches by their number of entries."""


def main(folder: Path, share: float) -> None:
    """Measure in a folder of its own below `folder`, with `share` of the batches."""
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix="measured-") as scratch:
        found["wait_s"] = waits(Path(scratch) / "plain", max(10, int(100 * share)))
        with Log(Path(scratch) / "ledger") as log:
            for size, count in BATCHES.items():
                found[f"entries_per_s_{size}"] = appended(log, size, max(2, int(count * share)))
            entries, root = log.size, log.root()
        began = time.perf_counter()
        with Log(Path(scratch) / "ledger", read_only=True) as log:
            found["read_per_s"] = entries / (time.perf_counter() - began)
            if log.root() != root:
                raise RuntimeError("the log is not what was written")
    print(json.dumps(found))


def appended(log: Log, size: int, count: int) -> float:
    """Append `count` batches after a first one; return the entries per second."""
    batches = [[os.urandom(ENTRY_BYTES) for _ in range(size)] for _ in range(count + 1)]
    log.append(batches.pop())
    began = time.perf_counter()
    for batch in batches:
        log.append(batch)
    return size * count / (time.perf_counter() - began)


def waits(path: Path, count: int) -> float:
    """Return the median seconds of a write of 220 KB and its ``fsync``."""
    data, seconds = os.urandom(220_000), []
    with path.open("wb", buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(data)
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return sorted(seconds)[count // 2]


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
