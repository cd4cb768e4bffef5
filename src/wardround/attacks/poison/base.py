"""What every attack of a malicious site has, and the two places where it can act: its images, or its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import nn

from wardround.algorithms import LocalResult, LocalWork
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task
from wardround.tasks.classification import load_weights, weights_of


@dataclass(frozen=True, kw_only=True)
class Culprits:
    """Who attacks, and since when.

    Attributes:
        sites: names of the malicious sites; several collude: they do the same.
        from_round: the first round in which they attack; before it they are honest.
    """

    sites: tuple[str, ...]
    from_round: int = 0

    def __post_init__(self) -> None:
        if not self.sites or len(set(self.sites)) < len(self.sites):
            raise PlanError("an [[attack]] needs sites = [...], each malicious site once")
        if self.from_round < 0:
            raise PlanError(f"attack from_round = {self.from_round} is below 0, the first round")

    def check(self, images: LabelledImages) -> None:
        """Let any images through; see `Malice.check`."""


class ImagePoison(Protocol):
    """Changes what a site trains on."""

    @property
    def from_round(self) -> int:
        """See `Culprits`."""
        ...

    def poisoned(self, images: LabelledImages, rng: np.random.Generator) -> LabelledImages:
        """Return as many images, in the same places, poisoned; what was given stays as it is."""
        ...


class ResultPoison(Protocol):
    """Changes what a site answers."""

    @property
    def from_round(self) -> int:
        """See `Culprits`."""
        ...

    @property
    def asks_honest(self) -> bool:
        """Whether it must know what the site would answer if it were honest, which costs it a second training."""
        ...

    def spoiled(self, result: LocalResult, honest: LocalResult | None, ctx: RoundContext) -> LocalResult:
        """Return the answer; `honest` is what `asks_honest` asks for."""
        ...


@dataclass(eq=False)
class OnPoisoned:
    """Local work on poisoned images; they are made once, from the seed of the plan and the name of the site.

    Attributes:
        poison: what is done to the images.
        work: done on them.
    """

    poison: ImagePoison
    work: LocalWork
    _made: dict[int, tuple[LabelledImages, LabelledImages]] = field(default_factory=dict)

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train on the poisoned images; see `LocalWork.run`."""
        if ctx.round >= self.poison.from_round:
            images = self._poisoned(images, ctx)
        return self.work.run(task, network, images, broadcast, memory, ctx)

    def _poisoned(self, images: LabelledImages, ctx: RoundContext) -> LabelledImages:
        kept = self._made.get(id(images))
        if kept is None or kept[0] is not images:
            rng = RoundContext(ctx.seed, 0, ctx.rounds, ctx.cohort, ctx.population, ctx.site).rng("poison")
            kept = self._made[id(images)] = images, self.poison.poisoned(images, rng)
        return kept[1]


@dataclass(frozen=True)
class Spoiled:
    """Local work whose result is changed before it leaves.

    Attributes:
        poison: what is done to the result.
        work: gives the result.
        honest: what an honest site does.
    """

    poison: ResultPoison
    work: LocalWork
    honest: LocalWork

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train, and change what came of it; see `LocalWork.run`."""
        attacks = ctx.round >= self.poison.from_round
        truth = None
        if attacks and self.poison.asks_honest:
            before = weights_of(network)
            truth = self.honest.run(task, network, images, broadcast, memory, ctx)
            load_weights(network, before)
        result = self.work.run(task, network, images, broadcast, memory, ctx)
        return self.poison.spoiled(result, truth, ctx) if attacks else result


def refuse_share(share: float) -> None:
    """Refuse a share of poisoned images that is none.

    Raises:
        PlanError: it is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise PlanError(f"attack share = {share} is no share of a site's images: give one above 0, at most 1")


def refuse_unlabelled(attack: str, images: LabelledImages) -> None:
    """Refuse images whose labels nobody learns.

    Raises:
        PlanError: they are learned as masks, or restored.
    """
    if images.masks is not None or images.degraded is not None:
        raise PlanError(f"the attack {attack} is on labels, which this task does not learn: choose another kind")
