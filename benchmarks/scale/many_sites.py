"""One federation of N sites in this process: seconds per site and round, and the peak of its memory.

Every site holds its own synthetic images, so the data grows with N, as it would. Prints JSON. Run by ``run.py`` in a
fresh process, because a peak never comes down again.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from wardround.data.catalogue import SOURCES
from wardround.data.images import LabelledImages
from wardround.fabric.local import LocalFabric
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.record import RoundRecord
from wardround.rounds.site import Site
from wardround.rounds.store import SiteStore
from wardround.rounds.workbench import Workbench
from wardround.study.build import sites_of, task_of
from wardround.study.folder import RunFolder
from wardround.study.spec import parse

SIZE_PX = 28
BATCH_SIZE = 32
IMAGES_PER_SITE = 40
"""Four fifths of them train."""


@dataclass(frozen=True)
class Synthetic:
    """Grey noise of two brightnesses.

    Attributes:
        count: number of images.
    """

    public: ClassVar[bool] = True

    count: int

    def load(self, root: Path | None, how: object = None) -> LabelledImages:
        """Return the images."""
        rng = np.random.default_rng(0)
        labels = np.arange(self.count) % 2
        pixels = rng.integers(0, 200, (self.count, SIZE_PX, SIZE_PX, 1), dtype=np.uint8)
        pixels += (labels * 40).astype(np.uint8)[:, None, None, None]
        return LabelledImages(
            pixels=pixels,
            rows=np.arange(self.count),
            labels=labels,
            origins=np.full(self.count, "synthetic"),
            groups=np.char.add("image-", np.arange(self.count).astype(str)),
            classes=("dark", "bright"),
            malignant=(),
            parts=np.full(self.count, ""),
            public=True,
        )


class Stopwatch:
    """A coordinator's listener that notes how long each round took, and how much of it the sites worked."""

    def __init__(self) -> None:
        self.round_s: list[float] = []
        self.sites_s: list[float] = []
        self.cpu_s: list[float] = []
        self.resumed = time.perf_counter()
        self._cpu = time.process_time()

    def answered(self, round_index: int, site: str, failure: str | None) -> None:
        """Stop at the first failure."""
        if failure:
            raise RuntimeError(f"round {round_index}, site {site}: {failure}")

    def completed(self, record: RoundRecord) -> None:
        """Note the round."""
        now, cpu = time.perf_counter(), time.process_time()
        self.round_s.append(now - self.resumed)
        self.cpu_s.append(cpu - self._cpu)
        self.sites_s.append(sum(said["seconds"] for said in record.accepted.values()))
        self.resumed, self._cpu = now, cpu


def main(count: int, rounds: int, steps: int) -> None:
    """Run `rounds` rounds of `count` sites, plus one to warm up, and test at the end."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    SOURCES["synthetic"] = Synthetic
    plan = parse(
        {
            "name": "scale",
            "rounds": rounds + 1,
            "data": {
                "source": "synthetic",
                "count": count * IMAGES_PER_SITE,
                "sites": {"by": "iid", "sites": count},
                "parts": {"val": 0.0, "test": 0.2},
            },
            "training": {"steps": steps, "batch_size": BATCH_SIZE, "learning_rate": 0.05, "precision": "float32"},
            "evaluation": {"every": 0, "bootstrap": 0, "share": "metrics"},
        }
    )
    began = time.perf_counter()
    sites = sites_of(plan, None)
    bench = Workbench(task_of(plan, sites), plan.seed)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as scratch:
        stores = Path(scratch) / "sites"
        fabric = LocalFabric(list(sites), lambda name: Site(name, plan, sites[name], bench, SiteStore(stores / name)))
        folder = RunFolder.create(Path(scratch) / "run", plan, resume=False)
        loaded = watch.resumed = time.perf_counter()
        Coordinator(plan, fabric, folder, watch).run()
        tested = time.perf_counter() - watch.resumed
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {"sites": count, "peak_bytes": peak_bytes, "data_bytes": count * IMAGES_PER_SITE * SIZE_PX**2}
    rounds_s = {"round_s": watch.round_s[1:], "sites_s": watch.sites_s[1:], "cpu_s": watch.cpu_s[1:]}
    print(
        json.dumps({**found, **rounds_s, "first_round_s": watch.round_s[0], "load_s": loaded - began, "test_s": tested})
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
