"""Local stochastic gradient descent, with corrections that algorithms plug in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn

from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.base import LocalResult
from wardround.algorithms.defences.base import Batch, Defence, RunningDefence, Scene, Undefended
from wardround.algorithms.feeding import training_batch
from wardround.algorithms.objective import Objective, RunningObjective, TaskLoss
from wardround.algorithms.training import Training
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, difference, in_group, of_group
from wardround.data.images import LabelledImages
from wardround.tasks import Task
from wardround.tasks.classification import weights_of
from wardround.tasks.inputs import trained_part

DEFENCE = "defence"
"""Group of a site's memory that its defence keeps."""


class RunningCorrection(Protocol):
    """A correction at work in one round of one site."""

    def adjust(self) -> None:
        """Change the gradients in place, after each backward pass and before the optimiser's step."""
        ...

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return what joins the update, and what joins the site's memory."""
        ...


class Correction(Protocol):
    """Something an algorithm does to every local gradient."""

    def begin(self, network: nn.Module, broadcast: Tensors, memory: Tensors) -> RunningCorrection:
        """Start a round."""
        ...


@dataclass(frozen=True)
class LocalSgd:
    """Minimise the task's loss for a number of steps (McMahan et al. 2017, ClientUpdate).

    Attributes:
        training: batches, optimiser, schedule.
        corrections: applied to every gradient, in order.
        objective: what is minimised.
        defence: what hides the images from whoever sees the update.
    """

    training: Training
    corrections: tuple[Correction, ...] = ()
    objective: Objective = field(default_factory=TaskLoss)
    defence: Defence = field(default_factory=Undefended)

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train for one round; see `LocalWork.run`."""
        torch.manual_seed(ctx.entropy("torch"))
        before = weights_of(network)
        running = [correction.begin(network, broadcast, memory) for correction in self.corrections]
        objective = self.objective.begin(task, network, images, broadcast)
        defence = self.defence.begin(Scene(task, network, images, of_group(memory, DEFENCE), ctx))
        optimiser = self.training.optimiser_for(network)
        restore_optimiser(optimiser, of_group(memory, "optimiser"))
        losses = self._descend(task, objective, network, images, optimiser, running, defence, ctx)
        change = dict(defence.leave(difference(weights_of(network), before)))
        kept = in_group(state_of_optimiser(optimiser), "optimiser") if self.training.keep_optimiser else {}
        kept |= in_group(defence.keep(), DEFENCE)
        ends = [objective.finish(), *(correction.finish() for correction in running)]
        for joins_update, joins_memory in ends:
            change |= joins_update
            kept |= joins_memory
        used = np.unique(np.concatenate(list(self.training.batches(len(images), ctx))))
        return LocalResult(change, kept, float(np.mean(losses)), len(losses), used=used, last_loss=losses[-1])

    def _descend(
        self,
        task: Task,
        objective: RunningObjective,
        network: nn.Module,
        images: LabelledImages,
        optimiser: torch.optim.Optimizer,
        running: list[RunningCorrection],
        defence: RunningDefence,
        ctx: RoundContext,
    ) -> list[float]:
        device = next(network.parameters()).device
        augment = AUGMENTATIONS[self.training.augment]
        steps = self.training.num_steps(len(images))
        losses: list[float] = []
        part = trained_part(network)
        part.module.train()

        def disguise(rows: np.ndarray, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            there = Batch(tuple(rows.tolist()), inputs.to(device), targets.to(device))
            return defence.disguise(there).to(inputs.device)

        for step, rows in enumerate(self.training.batches(len(images), ctx)):
            progress = (ctx.round + step / steps) / ctx.rounds
            for group in optimiser.param_groups:
                group["lr"] = self.training.learning_rate_at(progress)
            inputs, targets = training_batch(task, part, images, rows, augment, disguise)
            if part.body is None:
                inputs = inputs.to(memory_format=torch.channels_last)
            with self.training.autocast(device):
                loss = objective.loss(part.module, part.fed(inputs.to(device)), targets.to(device), progress)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            for correction in running:
                correction.adjust()
            batch = Batch(tuple(rows.tolist()), inputs.to(device), targets.to(device))
            defence.adjust(part.module, batch, optimiser.param_groups[0]["lr"])
            optimiser.step()
            losses.append(loss.item())
        return losses


def state_of_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Return what an optimiser remembers, as arrays for a site's memory."""
    state = optimiser.state_dict()["state"]
    return {
        f"{index}/{key}": value.detach().cpu().contiguous(memory_format=torch.contiguous_format).numpy().copy()
        for index, slots in state.items()
        for key, value in slots.items()
        if isinstance(value, torch.Tensor)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, arrays: dict[str, np.ndarray]) -> None:
    """Give an optimiser back what `state_of_optimiser` returned; nothing leaves it fresh."""
    if not arrays:
        return
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in arrays.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = torch.from_numpy(np.array(array))
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
