"""Invariant risk minimisation: ask for features on which the same head is best at every site."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from wardround.algorithms.base import Algorithm, ServerStep
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.personal import personal
from wardround.algorithms.training import Training
from wardround.checker import Work
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task


@dataclass(frozen=True)
class Irm:
    """FedAvg on IRMv1's objective (Arjovsky et al. 2019, arXiv:1907.02893, section 3).

    The penalty is the squared derivative of a site's loss by a scale of 1 on its outputs. It needs no other site, so
    the mean of the sites' steps is a step on the sum of their penalised risks, and nothing more is sent than under
    FedAvg. As in the paper's code it is estimated by the product over two halves of a batch, and the whole is divided
    by the penalty's weight where that is above 1.

    Attributes:
        penalty: weight of the penalty, > 0.
        warm_up: share of the run before the penalty sets in, in [0, 1).
        personal: as in `FedAvg`.
    """

    penalty: float = 1.0
    warm_up: float = 0.2
    personal: str = "nothing"

    def __post_init__(self) -> None:
        personal(self.personal)
        if not 0 < self.penalty < math.inf:
            raise PlanError(f"algorithm penalty = {self.penalty} is not positive: without it, choose fedavg")
        if not 0 <= self.warm_up < 1:
            raise PlanError(f"algorithm warm_up = {self.warm_up} is outside [0, 1)")

    @property
    def work(self) -> Work:
        """Updates and nothing else."""
        return Work("irm")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Local training on the penalised loss.

        Raises:
            PlanError: a batch cannot be halved.
        """
        if training.batch_size < 2:
            raise PlanError("irm halves each batch: say training batch_size = 2 or more")
        local = LocalSgd(training, objective=Penalised(self.penalty, self.warm_up))
        return Algorithm(local, server, personal(self.personal))


@dataclass(frozen=True)
class Penalised:
    """IRMv1's objective; see `Irm` for the attributes."""

    penalty: float
    warm_up: float

    def begin(self, task: Task, network: nn.Module, images: LabelledImages, broadcast: Tensors) -> RunningPenalised:
        """Remember the task."""
        return RunningPenalised(task, self.penalty, self.warm_up)


@dataclass(frozen=True)
class RunningPenalised:
    """`Penalised` in one round."""

    task: Task
    penalty: float
    warm_up: float

    def loss(self, module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, progress: float) -> torch.Tensor:
        """Return the loss with its penalty; a lone image has none, as it cannot be halved."""
        if progress < self.warm_up or len(inputs) < 2:
            return self.task.loss(module, inputs, labels)
        outputs = module(inputs)
        loss = self.task.loss(nn.Identity(), outputs, labels)
        slopes = [self._slope(outputs[half::2], labels[half::2]) for half in (0, 1)]
        return (loss + self.penalty * slopes[0] * slopes[1]) / max(1.0, self.penalty)

    def _slope(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the derivative of the loss by a scale of 1 on the outputs, itself differentiable."""
        scale = torch.ones((), device=outputs.device, requires_grad=True)
        loss = self.task.loss(nn.Identity(), outputs.float() * scale, labels)
        return torch.autograd.grad(loss, [scale], create_graph=True)[0]

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return nothing: the penalty is a site's own."""
        return {}, {}
