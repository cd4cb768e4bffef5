"""Every correction keeps the contract."""

from __future__ import annotations

import numpy as np
import tiny
from contracts.correction_contract import CorrectionContract
from torch import nn

from wardround.algorithms.fedprox import Proximal
from wardround.algorithms.fedrep import HeadFirst
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


class TestHeadFirst(CorrectionContract):
    correction = HeadFirst(1)

    def test_gradients_keep_their_shapes_and_stay_finite(self) -> None:
        """What rests has none, so that the optimiser passes it by."""
        network = tiny.task().build(0).eval()
        self.descend(network, {})
        rests = [parameter.grad is None for parameter in network.parameters()]
        assert rests == [False] * (len(rests) - 2) + [True] * 2
