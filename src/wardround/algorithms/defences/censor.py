"""CENSOR: a gradient at a right angle to the true one, which lowers the loss all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from wardround.algorithms.defences.base import Batch, RunningDefence, Scene, looked_at, refuse_unknown
from wardround.algorithms.defences.secret import RANDOMNESS
from wardround.errors import PlanError
from wardround.privacy.words import Words
from wardround.tasks import Task


@dataclass(frozen=True)
class Censor:
    """Zhang et al. 2025 (NDSS): of several random gradients orthogonal to the true one, the one with the lowest loss.

    Each layer's is as long as the true one. The released projection lacks a division by the gradient's length, so that
    it is not orthogonal there; here it is. Differs: counted in rounds, not epochs.

    Attributes:
        trials: random gradients for each step.
        first_rounds: rounds in which it defends; later ones send true gradients. 0 defends in all.
        randomness: ``system``, or ``seed``: from the plan's seed, for studies.
    """

    disguises: ClassVar[bool] = False

    trials: int = 20
    first_rounds: int = 10
    randomness: str = "system"

    def __post_init__(self) -> None:
        refuse_unknown("randomness", self.randomness, RANDOMNESS)
        if self.trials < 1 or self.first_rounds < 0:
            raise PlanError("defence censor needs trials >= 1 and first_rounds >= 0")

    def begin(self, scene: Scene) -> RunningDefence:
        """Start a round; after the first ones nothing is changed."""
        if self.first_rounds and scene.ctx.round >= self.first_rounds:
            return RunningDefence()
        words = Words.at(scene.ctx, "defence", self.randomness == "seed")
        seed = int(words.take(1)[0]) >> 1
        return _Orthogonal(self.trials, scene.task, torch.Generator().manual_seed(seed))


class _Orthogonal(RunningDefence):
    def __init__(self, trials: int, task: Task, generator: torch.Generator) -> None:
        self._trials = trials
        self._task = task
        self._generator = generator

    def adjust(self, module: nn.Module, batch: Batch, learning_rate: float) -> None:
        trained = [parameter for parameter in module.parameters() if parameter.grad is not None]
        true = [parameter.grad.clone() for parameter in trained if parameter.grad is not None]
        best, least = true, torch.inf
        for _ in range(self._trials):
            candidate = [self._beside(slope) for slope in true]
            loss = self._loss_after(module, trained, candidate, batch, learning_rate)
            if loss < least:
                best, least = candidate, loss
        for parameter, slope in zip(trained, best, strict=True):
            parameter.grad = slope

    def _beside(self, slope: torch.Tensor) -> torch.Tensor:
        """Return a random direction at a right angle to `slope`, as long as it."""
        drawn = torch.randn(slope.shape, generator=self._generator, dtype=slope.dtype).to(slope.device)
        tiny = torch.finfo(slope.dtype).tiny
        drawn = drawn - (drawn * slope).sum() / slope.pow(2).sum().clamp_min(tiny) * slope
        beside: torch.Tensor = drawn * (slope.norm() / drawn.norm().clamp_min(tiny))
        return beside

    def _loss_after(
        self,
        module: nn.Module,
        trained: list[nn.Parameter],
        step: list[torch.Tensor],
        batch: Batch,
        learning_rate: float,
    ) -> float:
        before = [parameter.detach().clone() for parameter in trained]
        with torch.no_grad(), looked_at(module):
            for parameter, slope in zip(trained, step, strict=True):
                parameter.sub_(learning_rate * slope)
            loss = self._task.loss(module, batch.inputs, batch.targets).item()
            for parameter, value in zip(trained, before, strict=True):
                parameter.copy_(value)
        return loss
