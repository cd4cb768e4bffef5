"""What the coordinator measures of updates on images of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from wardround.algorithms import LocalWork
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, applied
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.metrics.measures import Outcome
from wardround.rounds.workbench import Workbench
from wardround.screen import Harm, Samples
from wardround.tasks import Synthesis

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


def refuse_unprobed(task: Any, withheld: Collection[str]) -> None:
    """Refuse a task that cannot be measured on the coordinator's images, and a network of which it has but a part.

    Args:
        task: that the sites learn.
        withheld: names of weights that stay at the sites; a generator travels whole, whatever its discriminator does.

    Raises:
        PlanError: it says what is missing.
    """
    if not isinstance(task, Synthesis) and (withheld or not isinstance(task, Probable)):
        raise PlanError(
            "[probe] needs a task that can be measured on the coordinator's images, and no weights that stay at the "
            "sites: leave it out"
        )


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

    @cached_property
    def real(self) -> Samples:
        """The images as rows of numbers, the same ones in all rounds."""
        pixels = self.images.batch(slice(None)).reshape(len(self.images), -1)
        return Samples(pixels / 255.0, self.images.labels)


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

    def real(self) -> Samples:
        """Return the images; see `Probe.real`."""
        return self.probing.real

    def made(self, change: Tensors, count: int) -> Samples:
        """Make images after `change`; see `Probe.made`."""
        task = self.probing.bench.task
        if not isinstance(task, Synthesis):
            raise TypeError("the probe was asked for images of a network that makes none")
        labels = np.repeat(np.unique(self.probing.images.labels), count)
        network = self.probing.bench.lend(applied(self.weights, change))
        levels = task.levels(network, labels, self.ctx.at(COORDINATOR).rng("probe"))
        return Samples(levels.reshape(len(labels), -1).astype(np.float64), labels)

    def _outcome(self, weights: Tensors) -> Outcome:
        return self.probing.bench.task.evaluate(self.probing.bench.lend(weights), self.probing.images)
