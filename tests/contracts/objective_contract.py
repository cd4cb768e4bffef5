"""What every `Objective` must do."""

from __future__ import annotations

import numpy as np
import tiny
import torch
from torch import nn

from wardround.algorithms.objective import Objective
from wardround.core.update import Tensors
from wardround.tasks.classification import weights_of
from wardround.tasks.inputs import to_input

IMAGES = tiny.images(8)
INPUTS, LABELS = to_input(IMAGES.batch(slice(None))), torch.from_numpy(IMAGES.labels)


class ObjectiveContract:
    """Join with one line: ``class TestMine(ObjectiveContract): objective = Mine()``."""

    objective: Objective

    def broadcast(self, network: nn.Module) -> Tensors:
        """What the coordinator sends; an objective that needs more groups overrides this."""
        return weights_of(network)

    def descend(self, network: nn.Module) -> tuple[list[float], Tensors, Tensors]:
        torch.manual_seed(3)
        running = self.objective.begin(tiny.task(), network, IMAGES, self.broadcast(network))
        losses = []
        for step in range(4):
            network.zero_grad()
            loss = running.loss(network, INPUTS, LABELS, step / 4)
            loss.backward()
            losses.append(loss.item())
            with torch.no_grad():
                for parameter in network.parameters():
                    assert parameter.grad is not None
                    assert torch.isfinite(parameter.grad).all()
                    parameter.sub_(0.1 * parameter.grad)
        return losses, *running.finish()

    def test_steps_on_it_are_finite_and_make_it_smaller(self) -> None:
        losses, _, _ = self.descend(tiny.task().build(0).eval())
        assert np.isfinite(losses).all()
        assert losses[-1] < losses[0]

    def test_beginning_and_ending_change_no_weight_and_leave_no_hook(self) -> None:
        network = tiny.task().build(0).eval()
        before = weights_of(network)
        running = self.objective.begin(tiny.task(), network, IMAGES, self.broadcast(network))
        plain = network(INPUTS)
        running.loss(network, INPUTS, LABELS, 0.9)
        running.finish()
        assert all(value.tobytes() == weights_of(network)[name].tobytes() for name, value in before.items())
        assert torch.equal(network(INPUTS), plain)

    def test_what_joins_the_update_is_part_of_the_broadcast(self) -> None:
        network = tiny.task().build(0).eval()
        template = self.broadcast(network)
        _, update, memory = self.descend(network)
        for name, value in update.items():
            assert not name.startswith(("net/", "stat/"))
            assert (value.shape, value.dtype) == (template[name].shape, template[name].dtype)
        assert not any(name.startswith(("net/", "stat/", "optimiser/")) for name in memory)

    def test_the_same_round_gives_the_same_bits(self) -> None:
        outcomes = []
        for _ in range(2):
            network = tiny.task().build(0).eval()
            losses, update, _ = self.descend(network)
            outcomes.append((losses, {**weights_of(network), **update}))
        assert outcomes[0][0] == outcomes[1][0]
        assert all(value.tobytes() == outcomes[1][1][name].tobytes() for name, value in outcomes[0][1].items())

    def test_a_lone_image_is_no_failure(self) -> None:
        network = tiny.task().build(0).eval()
        running = self.objective.begin(tiny.task(), network, IMAGES, self.broadcast(network))
        assert torch.isfinite(running.loss(network, INPUTS[:1], LABELS[:1], 0.9))
