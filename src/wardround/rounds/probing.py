"""What the coordinator measures of updates on images of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from wardround.algorithms import LocalWork
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, applied
from wardround.data.images import LabelledImages
from wardround.metrics.measures import Outcome
from wardround.rounds.workbench import Workbench
from wardround.screen import Harm

COORDINATOR = "coordinator"
"""Name under which the coordinator trains on its own images."""


@runtime_checkable
class Probable(Protocol):
    """A task that can say what a change of its network does harm to."""

    def harms(self, before: Any, after: Any) -> Mapping[str, tuple[float, float]]:
        """Compare two outcomes of `Task.evaluate` on the same images.

        Returns:
            Ability of the network -> what it lost of it, and the standard deviation of that.
        """
        ...


@dataclass(frozen=True)
class Probing:
    """Makes a probe for each round.

    Attributes:
        bench: the coordinator's network.
        images: its own.
        local: what an honest site does.
    """

    bench: Workbench
    images: LabelledImages
    local: LocalWork

    def probe(self, ctx: RoundContext, weights: Tensors) -> RoundProbe:
        """Return what measures changes to `weights` in this round."""
        return RoundProbe(self, ctx, weights)


@dataclass(eq=False)
class RoundProbe:
    """Implements `screen.Probe`; what the broadcast model is worth is measured once a round.

    Attributes:
        probing: the coordinator's network and images.
        ctx: the round.
        weights: what was broadcast.
    """

    probing: Probing
    ctx: RoundContext
    weights: Tensors
    _before: list[Outcome] = field(default_factory=list)

    def harms(self, change: Tensors) -> Mapping[str, Harm]:
        """Measure what `change` does; see `Probe.harms`."""
        if not self._before:
            self._before.append(self._outcome(self.weights))
        task: Any = self.probing.bench.task
        found = task.harms(self._before[0], self._outcome(applied(self.weights, change)))
        return {name: Harm(size, deviation) for name, (size, deviation) in found.items()}

    def taught(self) -> Tensors:
        """Train on the coordinator's images as a site would; see `Probe.taught`."""
        network = self.probing.bench.lend(self.weights)
        at = self.ctx.at(COORDINATOR)
        result = self.probing.local.run(self.probing.bench.task, network, self.probing.images, self.weights, {}, at)
        return {name: np.asarray(result.change[name]) for name in self.weights}

    def _outcome(self, weights: Tensors) -> Outcome:
        return self.probing.bench.task.evaluate(self.probing.bench.lend(weights), self.probing.images)
