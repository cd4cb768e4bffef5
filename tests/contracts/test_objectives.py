"""Every objective keeps the contract."""

from __future__ import annotations

import numpy as np
from contracts.objective_contract import ObjectiveContract
from torch import nn

from wardround.algorithms import FedSr
from wardround.algorithms.fedsr import CENTRES, Simple
from wardround.algorithms.irm import Penalised
from wardround.algorithms.logit_adjusted import Adjusted
from wardround.algorithms.objective import TaskLoss
from wardround.core.update import Tensors
from wardround.tasks.classification import weights_of


class TestTaskLoss(ObjectiveContract):
    objective = TaskLoss()


class TestPenalised(ObjectiveContract):
    objective = Penalised(1.0, 0.2)


class TestAdjusted(ObjectiveContract):
    objective = Adjusted(1.0)


class TestSimple(ObjectiveContract):
    objective = Simple(FedSr())

    def broadcast(self, network: nn.Module) -> Tensors:
        return weights_of(network) | {CENTRES: np.zeros((2, 24), np.float32)}
