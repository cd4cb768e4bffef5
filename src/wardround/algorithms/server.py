"""Server steps: a mean update becomes new weights (Reddi et al. 2021, arXiv:2003.00295, algorithm 2).

The paper's optimisers act on the trainable weights (``net/…``); statistics (``stat/…``) take the plain mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from wardround.algorithms.base import ServerStep
from wardround.core.context import RoundContext
from wardround.core.update import MODEL_GROUPS, Tensors, applied, in_group, of_group
from wardround.errors import PlanError


def _model_of(state: Tensors) -> dict[str, np.ndarray]:
    return {name: value for name, value in state.items() if name.startswith(MODEL_GROUPS)}


def _zeros(weights: Tensors, group: str) -> dict[str, np.ndarray]:
    return {f"{group}/{name}": np.zeros_like(value) for name, value in weights.items() if name.startswith("net/")}


def _positive(where: str, **values: float) -> None:
    for key, value in values.items():
        if not (value > 0 and np.isfinite(value)):
            raise PlanError(f"{where} {key} = {value} is not a positive number")


@dataclass(frozen=True)
class ServerSgd:
    """Add the mean, times a learning rate, with heavy-ball or Nesterov momentum (FedAvg, FedAvgM).

    Attributes:
        learning_rate: 1.0 with momentum 0 is FedAvg.
        momentum: in [0, 1); FedAvgM (Hsu et al. 2019, arXiv:1909.06335) when positive.
        nesterov: look ahead by one momentum step.
    """

    learning_rate: float = 1.0
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _positive("server", learning_rate=self.learning_rate)
        if not 0 <= self.momentum < 1:
            raise PlanError(f"server momentum = {self.momentum} is outside [0, 1)")
        if self.nesterov and not self.momentum:
            raise PlanError("server nesterov looks ahead by a momentum step: give server momentum, or remove nesterov")

    def start(self, weights: Tensors) -> Tensors:
        """Return the weights, with a zero velocity when there is momentum."""
        return dict(weights) | (_zeros(weights, "velocity") if self.momentum else {})

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Return the state after one step."""
        change = dict(mean)
        velocities = {}
        for name in (name for name in mean if name.startswith("net/")):
            step = mean[name]
            if self.momentum:
                velocity = self.momentum * state[f"velocity/{name}"] + step
                velocities[f"velocity/{name}"] = np.asarray(velocity, np.float32)
                step = step + self.momentum * velocity if self.nesterov else velocity
            change[name] = self.learning_rate * step
        return applied(state, change) | velocities

    def broadcast(self, state: Tensors) -> Tensors:
        """Return the weights."""
        return _model_of(state)

    def model(self, state: Tensors) -> Tensors:
        """Return the weights."""
        return _model_of(state)


@dataclass(frozen=True)
class _Adaptive(ABC):
    """Adaptive step without bias correction, as in the paper; both moments start at zero.

    Attributes:
        learning_rate: of the server.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        tau: added to the root of the second moment; the paper's degree of adaptivity.
    """

    learning_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 0.001

    def __post_init__(self) -> None:
        _positive("server", learning_rate=self.learning_rate, tau=self.tau)
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise PlanError("server beta1 and beta2 must lie in [0, 1)")

    @abstractmethod
    def second_moment(self, second: np.ndarray, square: np.ndarray) -> np.ndarray:
        """Return the second moment after a mean update whose square is `square`."""

    def start(self, weights: Tensors) -> Tensors:
        """Return the weights with zero moments."""
        return dict(weights) | _zeros(weights, "first") | _zeros(weights, "second")

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Return the state after one step."""
        change = dict(mean)
        moments: dict[str, np.ndarray] = {}
        for name in (name for name in mean if name.startswith("net/")):
            first = self.beta1 * state[f"first/{name}"] + (1 - self.beta1) * mean[name]
            second = self.second_moment(state[f"second/{name}"], np.square(mean[name]))
            moments[f"first/{name}"] = np.asarray(first, np.float32)
            moments[f"second/{name}"] = np.asarray(second, np.float32)
            change[name] = self.learning_rate * first / (np.sqrt(second) + self.tau)
        return applied(state, change) | moments

    def broadcast(self, state: Tensors) -> Tensors:
        """Return the weights."""
        return _model_of(state)

    def model(self, state: Tensors) -> Tensors:
        """Return the weights."""
        return _model_of(state)


@dataclass(frozen=True)
class ServerAdam(_Adaptive):
    """FedAdam: the second moment is a moving average of squares."""

    def second_moment(self, second: np.ndarray, square: np.ndarray) -> np.ndarray:
        """Return ``beta2 v + (1 - beta2) d^2``."""
        return self.beta2 * second + (1 - self.beta2) * square


@dataclass(frozen=True)
class ServerYogi(_Adaptive):
    """FedYogi: the second moment moves towards the square by a bounded amount."""

    def second_moment(self, second: np.ndarray, square: np.ndarray) -> np.ndarray:
        """Return ``v - (1 - beta2) d^2 sign(v - d^2)``."""
        return np.asarray(second - (1 - self.beta2) * square * np.sign(second - square))


@dataclass(frozen=True)
class Averaged:
    """Wraps a step: what is evaluated and saved is a moving average of the weights over rounds.

    The average starts at the first round's weights and forgets by `decay` each round, with the start-up bias taken out
    (``decay`` is capped at ``(round + 1) / (round + 10)``, so early rounds do not linger).

    Attributes:
        inner: the step that makes the weights the sites train on.
        decay: in (0, 1), per round.
    """

    inner: ServerStep
    decay: float

    def start(self, weights: Tensors) -> Tensors:
        """Return the inner state and an average equal to the weights."""
        return dict(self.inner.start(weights)) | in_group(weights, "average")

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Take the inner step, then move the average."""
        inner = self.inner.apply(state, mean, ctx)
        decay = min(self.decay, (ctx.round + 1) / (ctx.round + 10))
        average = {
            f"average/{name}": np.asarray(decay * state[f"average/{name}"] + (1 - decay) * value, np.float32)
            for name, value in self.inner.model(inner).items()
        }
        return dict(inner) | average

    def broadcast(self, state: Tensors) -> Tensors:
        """Return what the inner step broadcasts."""
        return self.inner.broadcast(state)

    def model(self, state: Tensors) -> Tensors:
        """Return the average."""
        return of_group(state, "average")


SERVERS: dict[str, type[ServerStep]] = {"sgd": ServerSgd, "adam": ServerAdam, "yogi": ServerYogi}
"""Names a plan may use in ``[server] name = …``."""
