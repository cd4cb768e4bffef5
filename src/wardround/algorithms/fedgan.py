"""Generators that learn together, each against a discriminator of its own hospital: FedGAN."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.base import Algorithm, LocalResult, ServerStep
from wardround.algorithms.local_sgd import restore_optimiser, state_of_optimiser
from wardround.algorithms.personal import Personal, discriminator, nothing
from wardround.algorithms.training import Training
from wardround.checker import Work
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, difference, in_group, of_group
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task
from wardround.tasks.classification import weights_of
from wardround.tasks.inputs import to_input
from wardround.tasks.models.dcgan import Adversaries
from wardround.tasks.synthesis import Synthesis, adversaries, discriminator_loss, generator_loss

DISCRIMINATORS: dict[str, Personal] = {"local": discriminator, "averaged": nothing}


@dataclass(frozen=True)
class FedGan:
    """A conditional GAN whose generator is averaged (Jin and Li 2023, MedIA 90:102965).

    After the authors' code: one generator step for each discriminator step, binary cross-entropy, the generator's
    update alone leaves a site. Unlike it, the networks are conditional, the generator's moving average over rounds is
    what is evaluated where the plan has `average_decay`, and the optimiser's beta1 is the plan's.

    Attributes:
        discriminator: ``local``: it stays at its site; ``averaged``: it is averaged as the generator is.
        pooled: a yardstick, not a federation: all images are pooled and trained on in one place.
        beta1: of both optimisers (AdamW), in [0, 1).
        gradient_penalty: weight of the squared gradient of the discriminator at real images (R1; Mescheder et al. 2018,
            arXiv:1801.04406); 0 leaves it out. It is computed every `penalty_every` steps, and counts as much as if in
            each.
        penalty_every: steps from one penalty to the next, >= 1.
    """

    discriminator: str = "local"
    pooled: bool = False
    beta1: float = 0.5
    gradient_penalty: float = 0.0
    penalty_every: int = 8

    def __post_init__(self) -> None:
        if self.discriminator not in DISCRIMINATORS:
            raise PlanError(
                f"algorithm discriminator = {self.discriminator!r} is not one of {', '.join(DISCRIMINATORS)}"
            )
        if not 0 <= self.beta1 < 1 or not 0 <= self.gradient_penalty < math.inf or self.penalty_every < 1:
            raise PlanError("algorithm needs beta1 in [0, 1), gradient_penalty >= 0 and penalty_every >= 1")

    @property
    def work(self) -> Work:
        """Updates of the generator, or of both networks."""
        return Work("fedgan", pooled=self.pooled)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Adversarial training at the sites; discriminators are personal, or nothing is."""
        local = Adversarial(training, self.beta1, self.gradient_penalty, self.penalty_every)
        own = nothing if self.pooled else DISCRIMINATORS[self.discriminator]
        return Algorithm(local, server, own, pooled=self.pooled)


@dataclass(frozen=True)
class Adversarial:
    """Trains a discriminator and a generator in turns, a step each for every batch, on the same synthetic images.

    The plan's `augment` changes real and synthetic images alike before they are judged, and gradients pass through it
    (Zhao et al. 2020, arXiv:2006.10738): only changes that are not made always can be told from what is learned.

    Attributes:
        training: batches, learning rate, schedule; steps count pairs of one discriminator and one generator step.
        beta1: see `FedGan`.
        gradient_penalty: see `FedGan`.
        penalty_every: see `FedGan`.
    """

    training: Training
    beta1: float
    gradient_penalty: float = 0.0
    penalty_every: int = 8

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train for one round; see `LocalWork.run`. The losses that it reports are the generator's.

        Raises:
            PlanError: the task is no synthesis.
        """
        if not isinstance(task, Synthesis):
            raise PlanError('fedgan makes images: say name = "synthesis" in [task]')
        torch.manual_seed(ctx.entropy("torch"))
        before = weights_of(network)
        pair = adversaries(network)
        optimisers = {part: self._optimiser(module) for part, module in pair.named_children()}
        for part, optimiser in optimisers.items():
            restore_optimiser(optimiser, of_group(memory, f"optimiser/{part}"))
        duel = _Duel(task, pair, optimisers, self)
        losses = self._descend(duel, images, ctx)
        change = difference(weights_of(network), before)
        kept: dict[str, np.ndarray] = {}
        if self.training.keep_optimiser:
            for part, optimiser in optimisers.items():
                kept |= in_group(state_of_optimiser(optimiser), f"optimiser/{part}")
        used = np.unique(np.concatenate(list(self.training.batches(len(images), ctx))))
        return LocalResult(change, kept, float(np.mean(losses)), len(losses), used=used, last_loss=losses[-1])

    def _optimiser(self, module: nn.Module) -> torch.optim.Optimizer:
        rate, decay = self.training.learning_rate, self.training.weight_decay
        # Of a step on a small batch, weights moved one by one take a third.
        return torch.optim.AdamW(module.parameters(), rate, betas=(self.beta1, 0.999), weight_decay=decay, fused=True)

    def _descend(self, duel: _Duel, images: LabelledImages, ctx: RoundContext) -> list[float]:
        device = next(duel.pair.parameters()).device
        steps = self.training.num_steps(len(images))
        duel.pair.train()
        losses = []
        for step, rows in enumerate(self.training.batches(len(images), ctx)):
            duel.pace(self.training.learning_rate_at((ctx.round + step / steps) / ctx.rounds))
            real = to_input(images.fed(rows), device).to(memory_format=torch.channels_last)
            classes = duel.task.targets(images, rows).to(device)
            losses.append(duel.bout(real, classes, penalised=step % self.penalty_every == 0))
        return losses


@dataclass(frozen=True)
class _Duel:
    """Two networks, their optimisers, and one step of each."""

    task: Synthesis
    pair: Adversaries
    optimisers: dict[str, torch.optim.Optimizer]
    rules: Adversarial

    def pace(self, learning_rate: float) -> None:
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = learning_rate

    def bout(self, real: torch.Tensor, classes: torch.Tensor, penalised: bool) -> float:
        """Teach both networks, on the same synthetic images, as many as real ones; return the generator's loss."""
        with self._autocast(real):
            made = self._made(classes)
        self._teach_discriminator(real, made.detach(), classes, penalised)
        return self._teach_generator(made, classes)

    def _teach_discriminator(
        self, real: torch.Tensor, made: torch.Tensor, classes: torch.Tensor, penalised: bool
    ) -> None:
        judged = self._changed(real)
        weight = self.rules.gradient_penalty * self.rules.penalty_every if penalised else 0.0
        with self._autocast(real):
            loss = discriminator_loss(self.pair.discriminator, judged, self._changed(made), classes)
        if weight:
            loss = loss + weight / 2 * squared_gradient(self.pair.discriminator, judged, classes)
        self._step("discriminator", loss)

    def _teach_generator(self, made: torch.Tensor, classes: torch.Tensor) -> float:
        with self._autocast(classes):
            loss = generator_loss(self.pair.discriminator, self._changed(made), classes)
        self._step("generator", loss)
        return loss.item()

    def _made(self, classes: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(classes), self.pair.latent, device=classes.device)
        made: torch.Tensor = self.pair.generator(self.task.inputs(classes, noise))
        return made

    def _changed(self, images: torch.Tensor) -> torch.Tensor:
        return AUGMENTATIONS[self.rules.training.augment](images)

    def _autocast(self, like: torch.Tensor) -> torch.autocast:
        return self.rules.training.autocast(like.device)

    def _step(self, part: str, loss: torch.Tensor) -> None:
        parameters = list(self.pair.get_submodule(part).parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        self.optimisers[part].step()


def squared_gradient(discriminator: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the mean squared norm of the logits' gradient in the images; it can be differentiated itself.

    Args:
        discriminator: judges each image by itself.
        images: float ``(B, C, H, W)``.
        classes: int64 ``(B,)``.
    """
    asked = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(asked, classes).sum(), asked, create_graph=True)
    penalty: torch.Tensor = gradient.square().sum(dim=(1, 2, 3)).mean()
    return penalty
