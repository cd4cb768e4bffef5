"""Take a site's own label mix out of what it teaches the shared model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
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
class LogitAdjusted:
    """FedAvg whose sites add ``tau log(their label frequencies)`` to the logits that they train, and to no others.

    Logit adjustment (Menon et al. 2021, arXiv:2007.07314, eq. 10), with each site's own frequencies as in FedLC (Zhang
    et al. 2022, arXiv:2209.00189), which takes another margin. The shared model then speaks as if every class were as
    frequent as every other, at whatever hospital. Frequencies are counted with one image added to each class, and stay
    at the site; the update is what it would be under FedAvg, to whoever reads it.

    Attributes:
        tau: strength, > 0; 1 takes the whole of the label mix out.
        personal: as in `FedAvg`.
    """

    tau: float = 1.0
    personal: str = "nothing"

    def __post_init__(self) -> None:
        personal(self.personal)
        if not 0 < self.tau < math.inf:
            raise PlanError(f"algorithm tau = {self.tau} is not positive: without it, choose fedavg")

    @property
    def work(self) -> Work:
        """Updates and nothing else."""
        return Work("logit_adjusted")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Local training on adjusted logits."""
        return Algorithm(LocalSgd(training, objective=Adjusted(self.tau)), server, personal(self.personal))


@dataclass(frozen=True)
class Adjusted:
    """The objective; see `LogitAdjusted`."""

    tau: float

    def begin(self, task: Task, network: nn.Module, images: LabelledImages, broadcast: Tensors) -> RunningAdjusted:
        """Count the site's labels."""
        counts = images.label_counts() + 1.0
        shift = self.tau * np.log(counts / counts.sum())
        return RunningAdjusted(task, torch.from_numpy(shift.astype(np.float32)))


@dataclass(frozen=True)
class RunningAdjusted:
    """`Adjusted` in one round.

    Attributes:
        task: gives the loss.
        shift: float32 ``(C,)``, added to the logits.
    """

    task: Task
    shift: torch.Tensor

    def loss(self, module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, progress: float) -> torch.Tensor:
        """Return the loss of the adjusted logits."""
        logits = module(inputs).float()
        return self.task.loss(nn.Identity(), logits + self.shift.to(logits.device), labels)

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return nothing: the label mix stays at the site."""
        return {}, {}
