"""Inverting Gradients: signed Adam on the cosine, with total variation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from wardround.attacks.inversion.base import Budget, Reconstruction, Stopwatch, as_images, first_guesses
from wardround.attacks.inversion.descent import descend
from wardround.attacks.inversion.labels import recovered_labels
from wardround.attacks.inversion.matching import Matching, cosine
from wardround.attacks.inversion.observation import Observation
from wardround.attacks.inversion.priors import total_variation


@dataclass(frozen=True)
class InvertingGradients:
    """Geiping et al. 2020, section 4: only the direction of the gradient is matched.

    Differs: the first guess lies nearer to grey, and pixels are scaled to ``[-2, 2]`` instead of each channel's own
    spread.

    Attributes:
        budget: the paper takes 4,800 steps and 1 to 8 restarts.
        learning_rate: of Adam, in units of the network's input.
        smoothness: weight of the total variation; the paper takes 1e-6 for a trained network and up to .1.
        signed: step by the sign of the gradient.
        spread: of the first guess, as a share of half the range of pixels.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=4800))
    learning_rate: float = 0.1
    smoothness: float = 1e-3
    signed: bool = True
    spread: float = 0.1

    def run(self, seen: Observation, seed: int, labels: np.ndarray | None = None) -> Reconstruction:
        """Attack one observation; see `Attack.run`."""
        clock, matching = Stopwatch(self.budget), Matching(seen, cosine)
        classes = torch.from_numpy(recovered_labels(seen, seed) if labels is None else labels)

        def objective(group: torch.Tensor) -> torch.Tensor:
            return matching.of_each(group, classes) + self.smoothness * total_variation(group)

        start = first_guesses(seen, seed, self.budget.restarts, self.spread)
        ends, group = descend(seen, start, objective, self.budget.steps, self.learning_rate, clock, self.signed)
        inputs = group[int(ends.argmin())]
        distance = float(matching.of(inputs, classes))
        return Reconstruction(as_images(seen, inputs), classes.numpy(), distance, matching.evaluations, clock.seconds)
