"""What a screen is: it hears a round's updates, and says of each what of it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wardround.checker import Combiner
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, Update
from wardround.metrics.whitening import Whitening


@dataclass(frozen=True)
class Harm:
    """How much worse a model is at one thing after a change, measured on images of the coordinator's own.

    Attributes:
        size: negative where the change does good.
        deviation: standard deviation that `size` would have with other images of the same kind.
    """

    size: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Samples:
    """Images as rows of numbers.

    Attributes:
        images: float64 ``(N, F)``, levels from 0 to 1.
        labels: int64 ``(N,)``, their classes.
    """

    images: NDArray[np.float64]
    labels: NDArray[np.int64]

    def of(self, label: int) -> NDArray[np.float64]:
        """Return the images of one class."""
        return np.asarray(self.images[self.labels == label])

    @cached_property
    def whitening(self) -> Whitening:
        """How much they vary within their classes; see `Whitening.of`."""
        return Whitening.of(self.images, self.labels)


class Probe(Protocol):
    """Images of the coordinator's own, and what it can find out with them."""

    def harms(self, change: Tensors) -> Mapping[str, Harm]:
        """Return what a change does to the model that was broadcast, one harm for each thing it is good at."""
        ...

    def taught(self) -> Tensors:
        """Return the update that an honest site with these images would send."""
        ...

    def real(self) -> Samples:
        """Return the coordinator's images."""
        ...

    def made(self, change: Tensors, count: int) -> Samples:
        """Return what the generator makes after a change: `count` images of each class of the coordinator's images.

        They are made of the same noise for every change of a round, so that they differ by the change alone.
        """
        ...


@dataclass(frozen=True, eq=False)
class Case:
    """What a screen is given.

    Attributes:
        updates: of one round, in the order of the cohort.
        ctx: the round, as the coordinator sees it.
        memory: what the screen kept of its last round; empty in the first.
        weights: what was broadcast: updates are differences to it.
        probe: images of the coordinator's own; ``None`` where the plan has none.
    """

    updates: Sequence[Update]
    ctx: RoundContext
    memory: Tensors = field(default_factory=dict)
    weights: Tensors = field(default_factory=dict)
    probe: Probe | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """Whose updates they are."""
        return tuple(update.site for update in self.updates)


@dataclass(frozen=True)
class Verdict:
    """What a screen says of one update.

    Attributes:
        trust: in [0, 1], the part of its weight that is left to it; 0 leaves it out.
        reason: a sentence; empty where nothing was held against it.
        evidence: the numbers behind it, by name.
    """

    trust: float = 1.0
    reason: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a screen says of a round.

    Attributes:
        verdicts: site -> verdict, for every update that it was given.
        updates: the same updates, bounded or mixed, where the screen changes them; ``None`` where it does not.
        memory: what it keeps for the next round, by name.
        members: where it was given groups and can tell their members apart: site -> what it says of the site itself,
            also of sites that were not asked. One without trust is not asked for an update in the next round: nothing
            can be taken out of a sum.
    """

    verdicts: Mapping[str, Verdict]
    updates: Sequence[Update] | None = None
    memory: Tensors = field(default_factory=dict)
    members: Mapping[str, Verdict] = field(default_factory=dict)


class Screen(Protocol):
    """Judges a round's updates before they are aggregated. A choice a plan makes in ``[[screen]]``."""

    @property
    def combiner(self) -> Combiner:
        """What it must see, and what it asks of the aggregator."""
        ...

    def judge(self, case: Case) -> Judgement:
        """Judge; the updates that it is given stay as they are."""
        ...
