"""Differentially private SGD at a site: no image, lesion or patient moves the model by more than noise hides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.base import Algorithm, LocalResult, ServerStep
from wardround.algorithms.local_sgd import restore_optimiser, state_of_optimiser
from wardround.algorithms.training import Training
from wardround.algorithms.unit_gradients import UnitGradients, refuse_mixed_records
from wardround.checker import Noise, Unit, View, Work
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, difference, in_group, of_group
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.privacy import GROUP_UNITS, Event, Gaussian
from wardround.privacy.words import Words
from wardround.tasks import Task
from wardround.tasks.classification import weights_of
from wardround.tasks.inputs import trained_part

NOISES = ("site", "sum")


@dataclass(frozen=True)
class DpSgd:
    """DP-SGD (Abadi et al. 2016, arXiv:1607.00133) inside each site; needs a ``[privacy]`` table.

    Every step draws each unit with the same probability, clips each drawn unit's gradient, sums, and divides by a
    constant of the plan, never by how many were drawn.

    Attributes:
        sampling_rate: probability with which a step draws each unit, in (0, 1].
        expected_units: what sums of gradients are divided by, > 0: about the units that a step draws, at one site with
            ``noise = "site"``, at all sites of a round together with ``"sum"``. A public number: choose it without
            counting.
        clip: largest norm of one unit's gradient, > 0.
        noise: ``site``: each step of each site adds all of its noise; ``training.steps`` steps a round. ``sum``: one
            step a round, whose clipped sum is the update; the ``noise`` stage hides the sum over all sites, with less
            noise for the same epsilon, and the learning rate is applied by the server step.
        views: augmented views of each image that share its gradient's bound (De et al. 2022, arXiv:2204.13650).
    """

    sampling_rate: float = 0.05
    expected_units: float = 64.0
    clip: float = 1.0
    noise: str = "site"
    views: int = 1

    def __post_init__(self) -> None:
        if self.noise not in NOISES:
            raise PlanError(f"algorithm noise = {self.noise!r} is not one of {', '.join(NOISES)}")
        if not 0 < self.sampling_rate <= 1:
            raise PlanError(f"algorithm sampling_rate = {self.sampling_rate} is outside (0, 1]")
        for key in ("expected_units", "clip"):
            if not 0 < getattr(self, key) < math.inf:
                raise PlanError(f"algorithm {key} = {getattr(self, key)} is not a positive number")
        if self.views < 1:
            raise PlanError(f"algorithm views = {self.views} is below 1")

    @property
    def work(self) -> Work:
        """It bounds what a record adds; the noise is its own, or that of a stage."""
        own = Noise(View.EACH, Unit.RECORD) if self.noise == "site" else None
        return Work("dpsgd", bounds_records=True, noise=own)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Refuse: the noise follows from the whole plan; see `CalibratedDpSgd`."""
        raise PlanError("dpsgd needs a [privacy] table, which says whose presence it hides and how well")


@dataclass(frozen=True)
class CalibratedDpSgd:
    """`DpSgd` with what the plan's ``[privacy]`` table says.

    Attributes:
        spec: the plan's choice.
        unit: whose gradients are clipped as one.
        noise_multiplier: of one step at one site; unused where the sum's noise is a stage's.
        seeded: whether noise and sampling come from the plan's seed.
    """

    spec: DpSgd
    unit: str
    noise_multiplier: float
    seeded: bool

    @property
    def work(self) -> Work:
        """That of the plan's choice."""
        return self.spec.work

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Private steps at the site; for the noise of a sum, the learning rate at the server.

        Raises:
            PlanError: the training asks for something that would have no effect.
        """
        if training.precision == "bf16":
            raise PlanError(
                "training precision = 'bf16' has no effect under dpsgd, whose gradients are float32: remove it"
            )
        if self.spec.noise == "sum":
            _refuse_local_optimiser(training)
        if self.spec.noise == "site":
            return Algorithm(PrivateSteps(self, training), server)
        return Algorithm(ClippedSum(self, training), Paced(server, training, self.spec.expected_units))

    def units_of(self, images: LabelledImages) -> np.ndarray:
        """Return int64 ``(N,)``: the number of each image's unit."""
        if self.unit in GROUP_UNITS:
            return np.unique(images.groups, return_inverse=True)[1].astype(np.int64)
        return np.arange(len(images))

    def gradients(self, task: Task, training: Training) -> UnitGradients:
        """Return what clips and sums."""
        return UnitGradients(task, self.spec.clip, AUGMENTATIONS[training.augment], self.spec.views)

    def seed_torch(self, ctx: RoundContext) -> None:
        """Seed augmentation and dropout as secretly as the noise.

        An image that is gone leaves its random numbers to the next one. Nobody can tell where these are secret; whoever
        could compute them would see all other gradients change with one image, by more than noise hides.
        """
        torch.manual_seed(int(Words.at(ctx, "torch", self.seeded).take(1)[0] >> np.uint64(1)))

    def drawn(self, units: np.ndarray, words: Words) -> np.ndarray:
        """Draw every unit with the same probability, apart from the others; return the rows of their images."""
        chosen = words.chosen(self.spec.sampling_rate, int(units.max(initial=-1)) + 1)
        return np.flatnonzero(chosen[units])


@dataclass(frozen=True)
class PrivateSteps:
    """Several private steps a round, each with all its noise: a site's update is private by itself.

    Attributes:
        method: what is clipped, drawn and added.
        training: number of steps, optimiser, schedule, augmentation.
    """

    method: CalibratedDpSgd
    training: Training

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train for one round; see `LocalWork.run`. One event for each step."""
        module = trained_part(network).module
        refuse_mixed_records(module)
        self.method.seed_torch(ctx)
        before = weights_of(network)
        optimiser = self.training.optimiser_for(network)
        restore_optimiser(optimiser, of_group(memory, "optimiser"))
        units, gradients = self.method.units_of(images), self.method.gradients(task, self.training)
        sampling, noise = (Words.at(ctx, purpose, self.method.seeded) for purpose in ("sampling", "noise"))
        losses: list[float] = []
        events: list[Event] = []
        module.train()
        for step in range(self.training.steps):
            for group in optimiser.param_groups:
                group["lr"] = self.training.learning_rate_at((ctx.round + step / self.training.steps) / ctx.rounds)
            rows = self.method.drawn(units, sampling)
            total, loss = gradients.clipped_sum(network, images.take(rows), units[rows])
            events.append(self._add_noise(network, total, noise))
            optimiser.step()
            losses.append(loss)
        kept = in_group(state_of_optimiser(optimiser), "optimiser") if self.training.keep_optimiser else {}
        change = difference(weights_of(network), before)
        return LocalResult(change, kept, float(np.mean(losses)), len(losses), tuple(events))

    def _add_noise(self, network: nn.Module, total: dict[str, torch.Tensor], words: Words) -> Event:
        """Set the network's gradients to the noisy mean, and return the one event that this is."""
        spec = self.method.spec
        for name, parameter in network.named_parameters():
            if name in total:
                noise = words.normal(total[name].numel()).reshape(total[name].shape)
                noisy = total[name] + self.method.noise_multiplier * spec.clip * torch.from_numpy(noise)
                parameter.grad = (noisy / spec.expected_units).to(parameter.dtype).to(parameter.device)
        return Gaussian(self.method.noise_multiplier, spec.sampling_rate)


@dataclass(frozen=True)
class ClippedSum:
    """One step's clipped gradient sum as the update, without noise: a stage adds that to the sum over sites.

    Attributes:
        method: what is clipped and drawn.
        training: augmentation.
    """

    method: CalibratedDpSgd
    training: Training

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Return minus the clipped sum over the units drawn; see `LocalWork.run`."""
        module = trained_part(network).module
        refuse_mixed_records(module)
        self.method.seed_torch(ctx)
        units = self.method.units_of(images)
        module.train()
        rows = self.method.drawn(units, Words.at(ctx, "sampling", self.method.seeded))
        gradients = self.method.gradients(task, self.training)
        total, loss = gradients.clipped_sum(network, images.take(rows), units[rows])
        change = {name: np.zeros_like(value) for name, value in weights_of(network).items()}
        for name, value in total.items():
            change[f"net/{name}"] = -value.numpy().astype(np.float32)
        return LocalResult(change, {}, loss, 1)


@dataclass(frozen=True)
class Paced:
    """Turns a mean of clipped gradient sums into a step, for any server step: ``lr x sum / expected_units``.

    Attributes:
        inner: the step that moves the weights.
        training: learning rate and schedule.
        expected_units: what the sum over all sites is divided by.
    """

    inner: ServerStep
    training: Training
    expected_units: float

    def start(self, weights: Tensors) -> Tensors:
        """Return the inner state."""
        return self.inner.start(weights)

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Scale the mean over the round's sites back to their sum, and step."""
        scale = self.training.learning_rate_at(ctx.round / ctx.rounds) * len(ctx.cohort) / self.expected_units
        return self.inner.apply(state, {n: np.asarray(scale * v, np.float32) for n, v in mean.items()}, ctx)

    def broadcast(self, state: Tensors) -> Tensors:
        """Return what the inner step offers."""
        return self.inner.broadcast(state)

    def model(self, state: Tensors) -> Tensors:
        """Return what the inner step offers."""
        return self.inner.model(state)


def _refuse_local_optimiser(training: Training) -> None:
    """Refuse what only steps at a site would use.

    Raises:
        PlanError: the training sets it.
    """
    unused = {
        "momentum": training.momentum,
        "weight_decay": training.weight_decay,
        "keep_optimiser": training.keep_optimiser,
        "optimiser": training.optimiser != "sgd",
    }
    for key, is_set in unused.items():
        if is_set:
            raise PlanError(
                f"training {key} has no effect where the noise is the sum's and the server takes the step: set it in "
                "[server], or remove it"
            )
