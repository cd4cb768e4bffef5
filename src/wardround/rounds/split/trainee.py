"""A body at work in one round: its network, its optimiser, and the step that is under way with each site."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from wardround.algorithms import Training
from wardround.algorithms.local_sgd import restore_optimiser, state_of_optimiser
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, difference
from wardround.errors import WireError
from wardround.rounds.split.asks import like
from wardround.tasks.classification import load_weights, weights_of
from wardround.tasks.models.halves import BodyPass


class Trainee:
    """Trains a body as `LocalSgd` trains a whole network.

    Attributes:
        network: the body; trained in place.
        training: of the plan.
    """

    def __init__(self, network: nn.Module, training: Training, weights: Tensors, optimiser: Tensors) -> None:
        """Start a round from `weights` and from what an optimiser of an earlier round left; empty starts it fresh."""
        self.network = network.train()
        self.training = training
        load_weights(network, weights)
        self._before = weights_of(network)
        self._optimiser = training.optimiser_for(network)
        restore_optimiser(self._optimiser, dict(optimiser))
        self._passes: dict[str, BodyPass] = {}

    def forward(self, site: str, activation: torch.Tensor, ctx: RoundContext, step: int) -> torch.Tensor:
        """Return the body's output for a site's batch; what the body draws follows from site, round and step."""
        device = next(self.network.parameters()).device
        with torch.random.fork_rng(), self.training.autocast(device):
            torch.manual_seed(ctx.at(site).entropy(f"body {step}"))
            running = BodyPass(self.network, activation.to(device))
        self._passes[site] = running
        return running.output

    def backward(self, site: str, gradient: torch.Tensor, progress: float) -> torch.Tensor:
        """Take a step with a site's gradient; return the gradient of its activation.

        Args:
            site: whose `forward` it belongs to.
            gradient: of the loss by that output.
            progress: share of the run that is done, for the schedule.

        Raises:
            WireError: there is no such forward pass, or the gradient has another shape than its output.
        """
        running = self._passes.pop(site, None)
        if running is None:
            raise WireError("the site sent a gradient without an activation before it")
        output = running.output
        like(gradient, tuple(output.shape), "the gradient")
        for group in self._optimiser.param_groups:
            group["lr"] = self.training.learning_rate_at(progress)
        self._optimiser.zero_grad()
        found = running.close(gradient.to(output))
        self._optimiser.step()
        return found

    def change(self) -> dict[str, np.ndarray]:
        """Return the difference to the weights that the round began with."""
        return difference(weights_of(self.network), self._before)

    def memory(self) -> Mapping[str, np.ndarray]:
        """Return what the optimiser remembers."""
        return state_of_optimiser(self._optimiser)

    def saved(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Return weights and optimiser as they are, for `restore`."""
        return copy.deepcopy(self.network.state_dict()), copy.deepcopy(self._optimiser.state_dict())

    def restore(self, saved: tuple[dict[str, torch.Tensor], dict]) -> None:
        """Go back to what `saved` returned, as if nothing had been done since."""
        self.network.load_state_dict(saved[0])
        self._optimiser.load_state_dict(saved[1])
