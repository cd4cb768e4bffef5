"""What every `Correction` of local gradients must do."""

from __future__ import annotations

import numpy as np
import tiny
import torch
from torch import nn

from wardround.algorithms.local_sgd import Correction
from wardround.core.update import Tensors
from wardround.tasks.classification import weights_of
from wardround.tasks.inputs import to_input

IMAGES = tiny.images(8)


class CorrectionContract:
    """Join with one line: ``class TestMine(CorrectionContract): correction = Mine()``."""

    correction: Correction

    def broadcast(self, network: nn.Module) -> Tensors:
        """What the coordinator sends; a correction that needs more groups overrides this."""
        return weights_of(network)

    def descend(self, network: nn.Module, memory: Tensors, steps: int = 3) -> tuple[Tensors, Tensors]:
        running = self.correction.begin(network, self.broadcast(network), memory)
        for _ in range(steps):
            network.zero_grad()
            loss = nn.functional.cross_entropy(
                network(to_input(IMAGES.batch(slice(None)))), torch.from_numpy(IMAGES.labels)
            )
            loss.backward()
            running.adjust()
            with torch.no_grad():
                for parameter in network.parameters():
                    if parameter.grad is not None:
                        parameter.sub_(0.1 * parameter.grad)
        return running.finish()

    def test_gradients_keep_their_shapes_and_stay_finite(self) -> None:
        network = tiny.task().build(0).eval()
        self.descend(network, {})
        for parameter in network.parameters():
            assert parameter.grad is not None
            assert parameter.grad.shape == parameter.shape
            assert torch.isfinite(parameter.grad).all()

    def test_beginning_changes_neither_weights_nor_gradients(self) -> None:
        network = tiny.task().build(0)
        before = weights_of(network)
        self.correction.begin(network, self.broadcast(network), {})
        assert all(value.tobytes() == weights_of(network)[name].tobytes() for name, value in before.items())
        assert all(parameter.grad is None for parameter in network.parameters())

    def test_what_joins_the_update_is_part_of_the_broadcast(self) -> None:
        network = tiny.task().build(0).eval()
        template = self.broadcast(network)
        update, memory = self.descend(network, {})
        for name, value in update.items():
            assert not name.startswith(("net/", "stat/"))
            assert (value.shape, value.dtype) == (template[name].shape, template[name].dtype)
        assert all(isinstance(value, np.ndarray) for value in memory.values())
        assert not any(name.startswith(("net/", "stat/", "optimiser/")) for name in memory)

    def test_the_same_round_gives_the_same_bits(self) -> None:
        outcomes = []
        for _ in range(2):
            network = tiny.task().build(0).eval()
            memory: Tensors = {}
            for _ in range(2):
                update, memory = self.descend(network, memory)
            outcomes.append({**weights_of(network), **update})
        assert all(value.tobytes() == outcomes[1][name].tobytes() for name, value in outcomes[0].items())

    def test_frozen_parameters_are_left_alone(self) -> None:
        network = tiny.task().build(0).eval()
        frozen = list(network.parameters())[-1]
        frozen.requires_grad_(False)
        before = frozen.clone()
        self.descend(network, {})
        assert frozen.grad is None
        assert torch.equal(frozen, before)
