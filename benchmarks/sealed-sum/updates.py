"""What every method is given: three sites' updates, their weights, and the mean that should come out."""

from __future__ import annotations

import json
import math
import os
import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SITES = ("site-1", "site-2", "site-3")
EXAMPLES = {"site-1": 5000, "site-2": 3000, "site-3": 2000}
NORM = 1.0


@dataclass(frozen=True)
class Model:
    """A network as far as an update to it is concerned.

    Attributes:
        shapes: tensor -> shape.
        largest: tensor -> largest absolute weight.
    """

    shapes: Mapping[str, tuple[int, ...]]
    largest: Mapping[str, float]

    @classmethod
    def read(cls, path: Path) -> Model:
        """Read what ``network.py`` prints."""
        listed = json.loads(path.read_text())
        return cls(
            {name: tuple(shape) for name, (shape, _) in listed.items()},
            {name: largest for name, (_, largest) in listed.items()},
        )

    @property
    def num_values(self) -> int:
        """Values in an update."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def broadcast(self) -> dict[str, np.ndarray]:
        """Return weights with the range that the network's have."""
        return {name: np.full(shape, self.largest[name], np.float32) for name, shape in self.shapes.items()}

    def update(self, site: str) -> dict[str, np.ndarray]:
        """Return the update of `site`: float32, normal, of a norm of about `NORM`; the same in every process."""
        rng = np.random.default_rng(SITES.index(site))
        scale = np.float32(NORM / math.sqrt(self.num_values))
        return {name: rng.standard_normal(shape, np.float32) * scale for name, shape in self.shapes.items()}

    def mean(self, weights: Mapping[str, int]) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each tensor of the weighted mean, float64."""
        updates = {site: self.update(site) for site in SITES}
        total = sum(weights.values())
        for name in self.shapes:
            parts = [weights[site] * updates[site][name].astype(np.float64) for site in SITES]
            yield name, np.sum(parts, axis=0) / total


def on_one_core() -> None:
    """Keep this process, and whatever threads its libraries start, on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def peak_bytes() -> int:
    """Return the most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
