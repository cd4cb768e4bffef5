"""Risk extrapolation: a site that the shared model serves worse than the mean pulls harder."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from wardround.algorithms.base import Algorithm, LocalResult, LocalWork, ServerStep
from wardround.algorithms.beside import Beside
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.personal import personal
from wardround.algorithms.training import Training
from wardround.checker import Work
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task

MEAN_RISK = "risk/mean"
OWN_RISK = "risk/own"
MOST_PULL = 4.0
"""Largest factor on an update: a site whose loss explodes must not take the model with it."""


@dataclass(frozen=True)
class VRex:
    """FedAvg on ``mean of the sites' risks + beta x their variance`` (V-REx; Krueger et al. 2021, arXiv:2003.00688).

    The gradient of the variance weighs each site's gradient by ``1 + 2 beta (its risk - the mean risk)``. A site knows
    its own risk, the mean of its training losses in its last round, and is told the mean over sites, which is a sum:
    nobody's own risk has to be read for it. The factor scales the round's update, not the loss, which AdamW would not
    notice, and is kept within [0, 4]. The mean weighs sites as the aggregator does; the paper weighs them equally.

    Attributes:
        beta: weight of the variance, > 0.
        personal: as in `FedAvg`.
    """

    beta: float = 1.0
    personal: str = "nothing"

    def __post_init__(self) -> None:
        personal(self.personal)
        if not 0 < self.beta < math.inf:
            raise PlanError(f"algorithm beta = {self.beta} is not positive: without it, choose fedavg")

    @property
    def work(self) -> Work:
        """Updates, one number of which is the site's risk."""
        return Work("vrex")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Local training that is weighed by its risk; the server keeps the mean risk."""
        return Algorithm(Extrapolated(LocalSgd(training), self.beta), WithRisk(server), personal(self.personal))


@dataclass(frozen=True)
class Extrapolated:
    """The site's half: scales the update of shared weights, and sends the risk beside it.

    Attributes:
        inner: the work that makes the update.
        beta: weight of the variance.
    """

    inner: LocalWork
    beta: float

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train and weigh; see `LocalWork.run`. A site's first round counts once."""
        result = self.inner.run(task, network, images, broadcast, memory, ctx)
        above = memory[OWN_RISK] - broadcast[MEAN_RISK] if OWN_RISK in memory else np.zeros(1, np.float32)
        factor = np.float32(np.clip(1 + 2 * self.beta * above[0], 0.0, MOST_PULL))
        change = {
            name: np.asarray(value * factor) if name.startswith("net/") and name in broadcast else value
            for name, value in result.change.items()
        }
        risk = np.array([result.loss], np.float32)
        change[MEAN_RISK] = np.asarray(risk - broadcast[MEAN_RISK])
        return replace(result, change=change, memory={**result.memory, OWN_RISK: risk})


@dataclass(frozen=True)
class WithRisk(Beside):
    """Keeps the mean risk of the last round."""

    array = MEAN_RISK

    def first(self, weights: Tensors) -> np.ndarray:
        """Return a mean risk that nobody uses before it is known."""
        return np.zeros(1, np.float32)
