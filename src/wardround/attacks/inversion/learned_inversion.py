"""Learned inversion: a map from updates to images, fitted to updates that the attacker makes of public images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import torch

from wardround.attacks.inversion.base import Budget, Reconstruction, Stopwatch, as_images
from wardround.attacks.inversion.labels import recovered_labels
from wardround.attacks.inversion.matching import Matching
from wardround.attacks.inversion.observation import Observation
from wardround.attacks.inversion.regression import Ridge
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks.inputs import to_input

BLOCK = 16


@dataclass(frozen=True, eq=False)
class LearnedInversion:
    """After Wu et al. 2023 (UAI, Learning to Invert): no search at all, one look at the update.

    The attacker has the broadcast network, the plan and images of the same kind. So it makes the updates that batches
    of its own would have made, under the labels that it recovered and with all the plan's local steps and shares, and
    fits the images to them. Differs: a ridge regression on the whole update, in place of a network on a part of it;
    images of one label keep their order instead of being matched, so that of several only what they share is learned.

    Attributes:
        budget: steps are simulated updates; fewer if the time is over.
        public: float ``(K, C, H, W)`` as the network is fed them.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=800))
    public: torch.Tensor | None = None

    def taught(self, images: LabelledImages, seed: int) -> LearnedInversion:
        """Return the attack with public images; see `Learner.taught`."""
        return dataclasses.replace(self, public=to_input(images.batch(np.arange(len(images)))))

    def run(self, seen: Observation, seed: int, labels: np.ndarray | None = None) -> Reconstruction:
        """Attack one observation; see `Attack.run`.

        Raises:
            PlanError: nobody gave it public images.
        """
        if self.public is None:
            raise PlanError(
                "learned-inversion needs public images to learn from: give it some with taught(images, seed)"
            )
        clock, matching = Stopwatch(self.budget), Matching(seen)
        named = recovered_labels(seen, seed) if labels is None else labels
        classes = torch.from_numpy(named)
        updates, images = self._pairs(matching, self.public.to(seen.dtype), classes, seed, clock)
        update = torch.cat([value.flatten() for value in matching.target])
        found = Ridge(updates, images)(update[None]).reshape(-1, *seen.shape).clamp(*seen.limits)
        distance = float(matching.of(found, classes))
        return Reconstruction(as_images(seen, found), named, distance, matching.evaluations, clock.seconds)

    def _pairs(
        self, matching: Matching, public: torch.Tensor, classes: torch.Tensor, seed: int, clock: Stopwatch
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return updates ``(K, W)`` and the images ``(K, N x C x H x W)`` that they were made of."""
        generator = torch.Generator().manual_seed(seed)
        updates: list[torch.Tensor] = []
        batches: list[torch.Tensor] = []
        deals = _deals(len(public), len(classes), self.budget.steps, generator)
        for rows in torch.split(deals, BLOCK):
            group = public[rows]
            updates.append(matching.implied_each(group, classes))
            batches.append(group.flatten(1))
            if clock.is_over:
                break
        return torch.cat(updates), torch.cat(batches)


def _deals(count: int, size: int, deals: int, generator: torch.Generator) -> torch.Tensor:
    """Return rows ``(deals, size)``: all images in turn, shuffled anew each time; no more deals than single images."""
    wanted = min(deals, count) if size == 1 else deals
    rounds = -(-wanted * size // count)
    rows = torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])
    return rows[: wanted * size].reshape(wanted, size)
