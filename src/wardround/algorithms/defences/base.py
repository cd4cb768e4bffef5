"""What every defence takes and gives: the batch, the gradient or the update pass through it on their way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import nn

from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task

AIMS = ("matched", "shuffled", "anti")


@dataclass(frozen=True)
class Scene:
    """Where a defence stands in a round.

    Attributes:
        task: what is learned.
        network: with the weights that were broadcast; it changes from step to step.
        images: the site's.
        memory: what the defence kept from the site's last accepted round, without its group.
        ctx: the round, as this site sees it.
    """

    task: Task
    network: nn.Module
    images: LabelledImages
    memory: Tensors
    ctx: RoundContext


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step trains on.

    Attributes:
        rows: places of its images at the site, in their order.
        inputs: float ``(B, C, H, W)``, as the network is fed them.
        targets: labels, int64 ``(B,)``.
    """

    rows: tuple[int, ...]
    inputs: torch.Tensor
    targets: torch.Tensor


class RunningDefence:
    """A defence in one round of one site; what a method here leaves alone, others change."""

    def disguise(self, batch: Batch) -> torch.Tensor:
        """Return the inputs to train on in place of the true ones, before they are augmented."""
        return batch.inputs

    def adjust(self, module: nn.Module, batch: Batch, learning_rate: float) -> None:
        """Change the gradients in place, before the optimiser's step; `batch` is what was trained on."""

    def leave(self, change: Tensors) -> Tensors:
        """Return the update to send in place of the true one."""
        return change

    def keep(self) -> Tensors:
        """Return what the next round of this site needs."""
        return {}


class Defence(Protocol):
    """A choice a plan makes in ``[defence]``. All of them join one contract suite."""

    disguises: ClassVar[bool]
    """Whether the network is fed something else than the images."""

    def begin(self, scene: Scene) -> RunningDefence:
        """Start a round."""
        ...


@dataclass(frozen=True)
class Undefended:
    """No defence: what leaves is what was learned."""

    disguises: ClassVar[bool] = False

    def begin(self, scene: Scene) -> RunningDefence:
        """Return what changes nothing."""
        return RunningDefence()


def refuse_outside(name: str, value: float, low: float, high: float) -> None:
    """Refuse a number outside ``(low, high]``.

    Raises:
        PlanError: it is, or is no number.
    """
    if not low < value <= high:
        raise PlanError(f"defence {name} = {value} is outside ({low:g}, {high:g}]")


def refuse_unknown(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a word that is none of `known`.

    Raises:
        PlanError: it is not.
    """
    if value not in known:
        raise PlanError(f"defence {name} = {value!r} is not one of {', '.join(known)}")


@contextmanager
def looked_at(module: nn.Module) -> Iterator[None]:
    """Within the block a module that is in training is in evaluation mode: no running statistic moves, no dropout."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
