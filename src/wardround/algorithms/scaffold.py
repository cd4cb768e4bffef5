"""SCAFFOLD: control variates steer each site's steps towards the common gradient (arXiv:1910.06378)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from wardround.algorithms.base import ServerStep
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, applied, of_group


@dataclass(frozen=True)
class ControlVariates:
    """The site's half: adds ``c - c_i`` to every gradient and learns a new ``c_i``.

    The new ``c_i`` is the mean of the round's raw gradients. For plain SGD that *is* the paper's option II,
    ``c_i - c + (x - y_i) / (K eta)``; it stays right under momentum, schedules and AdamW, where option II does not.
    """

    def begin(self, network: nn.Module, broadcast: Tensors, memory: Tensors) -> RunningVariates:
        """Read the server's variate from the broadcast and the site's own from its memory."""
        return RunningVariates(network, of_group(broadcast, "variate"), of_group(memory, "variate"))


class RunningVariates:
    """`ControlVariates` in one round."""

    def __init__(self, network: nn.Module, common: Tensors, own: Tensors) -> None:
        # What stays personal has no common variate, and is not corrected.
        self._parameters = {name: value for name, value in network.named_parameters() if f"net/{name}" in common}
        self._own = {
            name: own.get(f"net/{name}", np.zeros(value.shape, np.float32)) for name, value in self._parameters.items()
        }
        self._shift = {
            name: torch.from_numpy(np.asarray(common[f"net/{name}"] - self._own[name])).to(value.device)
            for name, value in self._parameters.items()
        }
        self._sum = {name: torch.zeros_like(value) for name, value in self._parameters.items()}
        self._steps = 0

    def adjust(self) -> None:
        """Note the raw gradient, then shift it."""
        self._steps += 1
        for name, parameter in self._parameters.items():
            if parameter.grad is not None:
                self._sum[name].add_(parameter.grad)
                parameter.grad.add_(self._shift[name])

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return ``variate/net/…`` changes for the update and the new variates for the memory."""
        new = {name: (total / self._steps).cpu().contiguous().numpy() for name, total in self._sum.items()}
        change = {f"variate/net/{name}": np.asarray(value - self._own[name]) for name, value in new.items()}
        return change, {f"variate/net/{name}": value for name, value in new.items()}


@dataclass(frozen=True)
class WithVariates:
    """The server's half, around any step: ``c += |S| / N x mean(change of c_i)`` (algorithm 1, line 17).

    Attributes:
        inner: the step that moves the weights.
    """

    inner: ServerStep

    def start(self, weights: Tensors) -> Tensors:
        """Return the inner state and zero variates."""
        zeros = {f"variate/{name}": np.zeros_like(value) for name, value in weights.items() if name.startswith("net/")}
        return dict(self.inner.start(weights)) | zeros

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Take the inner step on the weights and move the variates."""
        share = len(ctx.cohort) / ctx.population
        variates = {name: share * value for name, value in mean.items() if name.startswith("variate/")}
        weights = {name: value for name, value in mean.items() if not name.startswith("variate/")}
        common = {name: value for name, value in state.items() if name.startswith("variate/")}
        return dict(self.inner.apply(state, weights, ctx)) | applied(common, variates)

    def broadcast(self, state: Tensors) -> Tensors:
        """Return the weights and the common variates."""
        variates = {name: value for name, value in state.items() if name.startswith("variate/")}
        return dict(self.inner.broadcast(state)) | variates

    def model(self, state: Tensors) -> Tensors:
        """Return what the inner step offers."""
        return self.inner.model(state)
