"""Every correction keeps the contract."""

from __future__ import annotations

import numpy as np
from contracts.correction_contract import CorrectionContract
from torch import nn

from wardround.algorithms.fedprox import Proximal
from wardround.algorithms.scaffold import ControlVariates
from wardround.core.update import Tensors
from wardround.tasks.classification import weights_of


class TestProximal(CorrectionContract):
    correction = Proximal(0.1)


class TestControlVariates(CorrectionContract):
    correction = ControlVariates()

    def broadcast(self, network: nn.Module) -> Tensors:
        weights = weights_of(network)
        return weights | {f"variate/{n}": np.full_like(v, 0.01) for n, v in weights.items() if n.startswith("net/")}
