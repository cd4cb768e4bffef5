"""GradInversion: several guesses that descend together and are drawn to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from wardround.attacks.inversion.base import Budget, Reconstruction, Stopwatch, as_images, first_guesses
from wardround.attacks.inversion.descent import descend
from wardround.attacks.inversion.labels import recovered_labels
from wardround.attacks.inversion.matching import Matching
from wardround.attacks.inversion.observation import Observation
from wardround.attacks.inversion.priors import (
    batch_statistics,
    disagreement,
    energy,
    statistics_of,
    total_variation,
)


@dataclass(frozen=True)
class GradInversion:
    """Yin et al. 2021: squared distance, batch statistics where there is BatchNorm, and group consistency.

    Differs: the distance is a share of the gradient's length; guesses are not registered to each other before their
    mean is taken; the labels are counted from the bias of the head instead of the columns of its weights.

    Attributes:
        budget: restarts are the members of the group.
        learning_rate: of Adam, in units of the network's input.
        smoothness: weight of the total variation.
        darkness: weight of the mean square of the pixels.
        statistics: weight of the distance of batch statistics.
        consistency: weight of the distance to the group's mean.
        spread: of the first guesses, as a share of half the range of pixels.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=2000, restarts=3))
    learning_rate: float = 0.05
    smoothness: float = 1e-4
    darkness: float = 1e-6
    statistics: float = 0.1
    consistency: float = 0.01
    spread: float = 0.1

    def run(self, seen: Observation, seed: int, labels: np.ndarray | None = None) -> Reconstruction:
        """Attack one observation; see `Attack.run`."""
        clock, matching = Stopwatch(self.budget), Matching(seen)
        classes = torch.from_numpy(recovered_labels(seen, seed) if labels is None else labels)
        start = first_guesses(seen, seed, self.budget.restarts, self.spread)
        with statistics_of(seen.network, batch_statistics(seen)) as far:

            def objective(group: torch.Tensor) -> torch.Tensor:
                far.clear()
                value = matching.of_each(group, classes)
                value = value + self.smoothness * total_variation(group) + self.darkness * energy(group)
                if far:
                    value = value + self.statistics * torch.stack(far).reshape(len(group), -1).mean(1)
                return value + self.consistency * disagreement(group)

            _, group = descend(seen, start, objective, self.budget.steps, self.learning_rate, clock)
        distances = matching.of_each(group, classes)
        nearest = int(distances.argmin())
        images = as_images(seen, group[nearest])
        distance = float(distances[nearest])
        return Reconstruction(images, classes.numpy(), distance, matching.evaluations, clock.seconds)
