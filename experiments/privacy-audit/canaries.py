"""A run of the product with canaries in it, and an attacker who sees the model of every round.

A canary is a patient or an image whose pixels are grey but for a block of its own, so that with a linear network its
gradient is nearly orthogonal to all others': the most that an image can say. Each is at its site, or is not, by a coin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData
from wardround.fabric.local import LocalFabric
from wardround.ledger.log import Log
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.plan import Plan
from wardround.rounds.record import RoundRecord
from wardround.rounds.workbench import Workbench
from wardround.study.build import opener_for
from wardround.study.simulation import introduce_sites
from wardround.study.spec import parse
from wardround.tasks.classification import Classification
from wardround.tasks.inputs import to_input

SIZE_PX = 48
GREY = 127
BLOCK = 3
CLASSES = ("dark", "light")
SITES = ("east", "north", "west")


@dataclass(frozen=True)
class Linear:
    """One linear layer over all pixels."""

    answers: ClassVar[tuple[str, ...]] = ("image",)

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network, all weights zero."""
        network = nn.Sequential(nn.Flatten(), nn.Linear(channels * SIZE_PX**2, classes))
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
        return network


@dataclass
class Watched:
    """A journal that keeps the state after every round: what a site or the coordinator sees.

    Attributes:
        folder: of the ledger.
        records: one for each round.
        states: the state after each.
    """

    folder: Path
    records: list[RoundRecord] = field(default_factory=list)
    states: list[Tensors] = field(default_factory=list)

    def last(self) -> None:
        """Return that nothing was completed."""

    def roster(self) -> tuple[str, Mapping[str, bytes]]:
        """Return that nobody agreed on keys yet."""
        return "", {}

    def keep_roster(self, run: str, identities: Mapping[str, bytes]) -> None:
        """Forget them."""

    def ledger(self) -> Log:
        """Begin the log."""
        return Log(self.folder)

    def log_seed(self) -> bytes:
        """Return a key that protects nothing: nobody reads this log."""
        return bytes(32)

    def checkpoint(self) -> None:
        """Return that there is none."""

    def keep_checkpoint(self, note: bytes) -> None:
        """Forget it."""

    def commit(self, record: RoundRecord, state: Tensors) -> None:
        """Keep a round."""
        self.records.append(record)
        self.states.append(dict(state))


def plan_of(table: Mapping[str, Any]) -> Plan:
    """Return the plan of a run: `table`, with the linear network and without looks at the validation part."""
    common = {"name": "audit", "evaluation": {"every": 0, "bootstrap": 0, "min_positives": 1}}
    return replace(parse({**common, "aggregator": {"weighting": "uniform"}, **table}), model=Linear())


def canaries(count: int, each: int) -> LabelledImages:
    """Return `count` canaries of `each` images; a canary's images light up the same block."""
    pixels = np.full((count, SIZE_PX * SIZE_PX * 3), GREY, np.uint8)
    for index in range(count):
        pixels[index, BLOCK * index : BLOCK * (index + 1)] = 255
    rows = np.repeat(np.arange(count), each)
    return LabelledImages(
        pixels=pixels.reshape(count, SIZE_PX, SIZE_PX, 3),
        rows=rows,
        labels=(rows % 2).astype(np.int64),
        origins=np.full(len(rows), "east"),
        groups=np.array([f"canary-{row}" for row in rows]),
        classes=CLASSES,
        malignant=(),
        parts=np.full(len(rows), ""),
        public=True,
    )


def audited(plan: Plan, count: int, each: int, seed: int, folder: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Run a plan over canaries that are there or not.

    Returns:
        bool ``(count,)``, who was there; float ``(count,)``, the attacker's scores; and the epsilon of the run.
    """
    there = np.random.default_rng(seed).random(count) < 0.5
    everyone = canaries(count, each)
    dealt = {}
    for place, site in enumerate(SITES):
        here = everyone.take(there[everyone.rows] & (everyone.rows % len(SITES) == place))
        here = replace(here, origins=np.full(len(here), site))
        dealt[site] = SiteData(here, here.take(np.arange(2)), here.take(np.arange(2)))
    introduce_sites(folder, SITES)
    journal = Watched(folder / "ledger")
    fabric = LocalFabric(SITES, opener_for(plan, dealt, folder))
    Coordinator(plan, fabric, journal).run()
    privacy = journal.records[-1].privacy
    assert privacy is not None
    task = Classification(plan.model, 3, CLASSES)
    start = Workbench(task, plan.seed).initial
    return there, scores(task, everyone, each, [start, *journal.states]), privacy["epsilon"]


def scores(task: Classification, everyone: LabelledImages, each: int, states: list[Tensors]) -> np.ndarray:
    """Return how far each round's step goes along each canary's gradient at that round's model, over all rounds.

    Along that part of the gradient that no other canary has: the weights of its own block.
    """
    total = np.zeros(len(everyone) // each)
    inputs = to_input(everyone.pixels[:]).flatten(1).double()
    blocks = inputs.clamp_min(0)
    labels = torch.from_numpy(everyone.labels[::each])
    for before, after in pairwise(states):
        weight, bias = (torch.from_numpy(before[f"net/1.{name}"]).double() for name in ("weight", "bias"))
        step = torch.from_numpy(before["net/1.weight"] - after["net/1.weight"]).double()
        wrong = torch.softmax(inputs @ weight.T + bias, 1) - nn.functional.one_hot(labels, len(CLASSES))
        total += ((wrong * (blocks @ step.T)).sum(1) / wrong.norm(dim=1)).numpy()
    return total


@contextmanager
def silent() -> Iterator[None]:
    """Switch all noise off: events and claims stay as they are."""

    def none(variance: int, count: int, words: object) -> np.ndarray:
        return np.zeros(count, np.int64)

    with (
        patch("wardround.protect.noisy_grid.discrete_gaussian", none),
        patch("wardround.privacy.words.Words.normal", lambda _, count: np.zeros(count)),
    ):
        yield
