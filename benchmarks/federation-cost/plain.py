"""The yardstick: the training loop one would write by hand, with no federation in it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from wardround.core.context import RoundContext
from wardround.rounds.plan import Plan
from wardround.rounds.workbench import Workbench
from wardround.study.build import sites_of, task_of
from wardround.study.spec import from_json


@dataclass(frozen=True)
class Shard:
    """One site's images, and the batches it is trained on in every round.

    Attributes:
        pixels: uint8 ``(N, H, W, C)``.
        labels: int64 ``(N,)``.
        rounds: for each round, the index arrays of its batches.
    """

    pixels: np.ndarray
    labels: np.ndarray
    rounds: Sequence[Sequence[np.ndarray]]


class PlainLoop:
    """One network, one optimiser, and the batches of the sites it is given, one after the other."""

    def __init__(self, plan: Plan, names: Sequence[str]) -> None:
        sites = sites_of(plan, None)
        cohort = tuple(sorted(sites))
        self._shards = []
        for name in names:
            images = sites[name].train
            ctx = [RoundContext(plan.seed, r, plan.rounds, cohort, len(cohort), name) for r in range(plan.rounds)]
            batches = [list(plan.training.batches(len(images), each)) for each in ctx]
            self._shards.append(Shard(images.batch(np.arange(len(images))), images.labels, batches))
        # From a workbench, so that both sides have the same weights and the same settings of the process.
        self._network = Workbench(task_of(plan, sites), plan.seed).lend()
        self._optimiser = torch.optim.SGD(self._network.parameters(), plan.training.learning_rate)

    def __call__(self, index: int) -> None:
        """Train on every batch of round `index`."""
        self._network.train()
        for shard in self._shards:
            for rows in shard.rounds[index]:
                images = torch.from_numpy(shard.pixels[rows]).permute(0, 3, 1, 2).float().div_(63.75).sub_(2.0)
                loss = cross_entropy(self._network(images), torch.from_numpy(shard.labels[rows]))
                self._optimiser.zero_grad()
                loss.backward()
                self._optimiser.step()
                loss.item()


class PlainLoops:
    """Plain loops in processes of their own, which share the sites as `WorkerFabric` deals them to its workers."""

    def __init__(self, plan_json: str, names: Sequence[str], processes: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for index in range(processes):
            ours, theirs = spawn.Pipe()
            mine = sorted(names)[index::processes]
            process = spawn.Process(target=_serve, args=(theirs, plan_json, mine), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def __call__(self, index: int) -> None:
        """Train on round `index` in all processes at once, and wait for the last."""
        for pipe in self._pipes:
            pipe.send(index)
        for pipe in self._pipes:
            pipe.recv()

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.join()


def _serve(pipe: Connection, plan_json: str, names: Sequence[str]) -> None:
    loop = PlainLoop(from_json(plan_json), names)
    pipe.send("ready")
    while True:
        try:
            index = pipe.recv()
        except EOFError:
            return
        loop(index)
        pipe.send(index)
