"""A model of each site's own beside the shared one: Ditto."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from wardround.algorithms.base import Algorithm, LocalResult, LocalWork, ServerStep
from wardround.algorithms.fedprox import Proximal
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.training import Training
from wardround.checker import Work
from wardround.core.context import RoundContext
from wardround.core.update import MODEL_GROUPS, Tensors, in_group, of_group
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task
from wardround.tasks.classification import load_weights, weights_of

OWN = "own"


@dataclass(frozen=True)
class Ditto:
    """FedAvg, and at each site a second model that is pulled towards the shared one (Li et al. 2021, 2012.04221).

    The shared model is that of FedAvg, bit for bit; the site's own starts from the first broadcast it gets, never
    leaves, and is what the site is validated and tested with. A hospital that takes no part has none and uses the
    shared model. Both train with the plan's local training, so that a round takes twice the time.

    Attributes:
        lam: strength of the pull (the paper's lambda), > 0.
    """

    lam: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.lam < math.inf:
            raise PlanError(f"algorithm lam = {self.lam} is not positive: without the pull, choose local")

    @property
    def work(self) -> Work:
        """Updates of the shared model and nothing else."""
        return Work("ditto")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Two local trainings, of which one is shared."""
        own = LocalSgd(training, (Proximal(self.lam),))
        return Algorithm(WithOwnModel(LocalSgd(training), own), server, own_model=OWN)


@dataclass(frozen=True)
class WithOwnModel:
    """Trains the site's own model, then the shared one.

    Attributes:
        shared: makes the update.
        own: trains the model that stays.
    """

    shared: LocalWork
    own: LocalWork

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train both; see `LocalWork.run`. `network` ends as the shared model that was trained."""
        begun, kept = weights_of(network), of_group(memory, OWN)
        load_weights(network, {name: value for name, value in kept.items() if name.startswith(MODEL_GROUPS)})
        own = self.own.run(task, network, images, broadcast, kept, ctx)
        remembered: dict[str, np.ndarray] = {**own.memory, **weights_of(network)}
        load_weights(network, begun)
        shared = self.shared.run(task, network, images, broadcast, memory, ctx)
        return replace(shared, memory={**shared.memory, **in_group(remembered, OWN)})
