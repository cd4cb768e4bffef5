"""What a site minimises: the task's loss, or that loss with something an algorithm adds to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.tasks import Task

Network = Callable[..., torch.Tensor]
"""What a task's loss calls: a network, or one with something done to its outputs."""


class RunningObjective(Protocol):
    """An objective in one round of one site."""

    def loss(self, module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, progress: float) -> torch.Tensor:
        """Return what one step minimises.

        Args:
            module: what is trained.
            inputs: what it is fed; the first dimension counts the batch.
            labels: of the batch.
            progress: share of the run that is done, in [0, 1].
        """
        ...

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return what joins the update, and what joins the site's memory."""
        ...


class Objective(Protocol):
    """Something an algorithm makes of the task's loss."""

    def begin(self, task: Task, network: nn.Module, images: LabelledImages, broadcast: Tensors) -> RunningObjective:
        """Start a round."""
        ...


@dataclass(frozen=True)
class TaskLoss:
    """The task's loss and nothing else."""

    def begin(self, task: Task, network: nn.Module, images: LabelledImages, broadcast: Tensors) -> RunningTaskLoss:
        """Remember the task."""
        return RunningTaskLoss(task)


@dataclass(frozen=True)
class RunningTaskLoss:
    """`TaskLoss` in one round; what keeps nothing from round to round extends it by holding one."""

    task: Task

    def loss(self, module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, progress: float) -> torch.Tensor:
        """Return the task's loss."""
        return self.task.loss(module, inputs, labels)

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return nothing."""
        return {}, {}
