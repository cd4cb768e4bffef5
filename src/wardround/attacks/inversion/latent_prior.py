"""Generator-prior inversion: the search is among images that a generator, trained on public ones, can make."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from wardround.algorithms.defences.twin import Twin, twin_of
from wardround.attacks.inversion.base import Budget, Reconstruction, Stopwatch, as_images
from wardround.attacks.inversion.labels import recovered_labels
from wardround.attacks.inversion.matching import Matching
from wardround.attacks.inversion.observation import Observation
from wardround.attacks.inversion.priors import total_variation
from wardround.data.images import LabelledImages
from wardround.errors import PlanError

FIT_STEPS = 400


@dataclass(frozen=True, eq=False)
class Prior:
    """A generator, and how to begin with it.

    Attributes:
        generator: codes to images; the attack changes a copy.
        mean: float ``(C, H, W)`` as the network is fed it: the public images' mean.
    """

    generator: Twin
    mean: torch.Tensor

    @classmethod
    def of(cls, images: LabelledImages, seed: int, steps: int = FIT_STEPS) -> Prior:
        """Train an autoencoder on public images; its decoder is the generator."""
        mean = torch.from_numpy(images.batch(np.arange(len(images))).mean(0)).permute(2, 0, 1) / 63.75 - 2
        return cls(twin_of(images, {}, steps, seed), mean.float())


@dataclass(frozen=True)
class LatentPrior:
    """Jeon et al. 2021 (NeurIPS, GIAS): first the generator's code is searched, then its weights, for one update.

    Differs: the generator is the decoder of a convolutional autoencoder with a code of 8 channels at a quarter of the
    width, in place of a GAN; the code starts at that of the mean image plus noise.

    Attributes:
        budget: steps of Adam, half of them for the code and half for the weights; in each restart.
        prior: the generator; `wardround attack` trains it on validation images.
        code_rate: learning rate of the code.
        weight_rate: learning rate of the generator's weights.
        smoothness: weight of the total variation.
        spread: of the noise on the first code.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=1600))
    prior: Prior | None = None
    code_rate: float = 0.2
    weight_rate: float = 3e-3
    smoothness: float = 1e-4
    spread: float = 0.1

    def taught(self, images: LabelledImages, seed: int) -> LatentPrior:
        """Return the attack with a generator trained on public images; see `Learner.taught`."""
        return dataclasses.replace(self, prior=Prior.of(images, seed))

    def run(self, seen: Observation, seed: int, labels: np.ndarray | None = None) -> Reconstruction:
        """Attack one observation; see `Attack.run`.

        Raises:
            PlanError: nobody gave it a prior.
        """
        if self.prior is None:
            raise PlanError("latent-prior needs a generator: give it one with Prior.of(public images, seed)")
        clock, matching = Stopwatch(self.budget), Matching(seen)
        classes = torch.from_numpy(recovered_labels(seen, seed) if labels is None else labels)
        ends = [
            self._search(matching, self.prior, seed + index, classes, clock) for index in range(self.budget.restarts)
        ]
        distance, inputs = min(ends, key=lambda end: end[0])
        return Reconstruction(as_images(seen, inputs), classes.numpy(), distance, matching.evaluations, clock.seconds)

    def _search(
        self, matching: Matching, prior: Prior, seed: int, classes: torch.Tensor, clock: Stopwatch
    ) -> tuple[float, torch.Tensor]:
        seen, generator = matching.seen, copy.deepcopy(prior.generator)
        with torch.no_grad():
            code = generator.encoder(prior.mean[None]).repeat(seen.num_images, 1, 1, 1)
        noise = torch.randn(code.shape, generator=torch.Generator().manual_seed(seed))
        code = (code + self.spread * noise).requires_grad_()
        nearest: list[tuple[float, torch.Tensor]] = []

        def objective() -> torch.Tensor:
            made = generator.rebuilt(code, torch.Size(seen.shape[1:])).clamp(*seen.limits)
            distance = matching.of(made, classes)
            if not nearest or distance.item() < nearest[0][0]:
                nearest[:] = [(distance.item(), made.detach())]
            return distance + self.smoothness * total_variation(made[None])[0]

        half = self.budget.steps // 2
        _descend([code], objective, half, self.code_rate, clock)
        weights: list[nn.Parameter] = list(generator.decoder.parameters())
        _descend([code, *weights], objective, self.budget.steps - half, self.weight_rate, clock)
        return nearest[0]


def _descend(
    free: list[torch.Tensor] | list[nn.Parameter],
    objective: Callable[[], torch.Tensor],
    steps: int,
    learning_rate: float,
    clock: Stopwatch,
) -> None:
    optimiser = torch.optim.Adam(free, learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    for _ in range(steps):
        loss = objective()
        for value, slope in zip(free, torch.autograd.grad(loss, free), strict=True):
            value.grad = slope
        optimiser.step()
        schedule.step()
        if clock.is_over:
            return
