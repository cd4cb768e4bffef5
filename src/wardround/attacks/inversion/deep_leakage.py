"""Deep leakage from gradients: L-BFGS on the squared distance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from wardround.attacks.inversion.base import Budget, Reconstruction, Stopwatch, as_images, first_guesses
from wardround.attacks.inversion.labels import recovered_labels
from wardround.attacks.inversion.lbfgs import Search
from wardround.attacks.inversion.matching import Matching
from wardround.attacks.inversion.observation import Observation

LEAST_STEPS = 20
"""Fewer are not worth another guess."""


@dataclass(frozen=True)
class DeepLeakage:
    """DLG (Zhu, Liu & Han 2019), and iDLG (Zhao et al. 2020), which knows the labels first.

    Differs from both: a line search (strong Wolfe), a first guess near grey instead of unit noise, the distance as a
    share of the gradient's own length. Each makes it rebuild more.

    Attributes:
        budget: steps are evaluations of the distance. What the first guess leaves over of all restarts' steps goes
            into going on from there if it came `promising` near, else into further guesses.
        joint_labels: search for soft labels together with the images, as DLG does; else they are recovered beforehand.
        spread: of the first guess, as a share of half the range of pixels.
        enough: the search ends when the distance is below it; rounding to float32 leaves some 1e-12 to the true image.
        promising: a guess that comes below it is not given up for another one while it gets on.
        history: of L-BFGS.
        skips_zeros: compare only what is not zero in the update: an attacker who knows that a defence set the rest to
            zero.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=1000, restarts=2))
    joint_labels: bool = False
    spread: float = 0.1
    enough: float = 1e-10
    promising: float = 1e-4
    history: int = 100
    skips_zeros: bool = False

    def run(self, seen: Observation, seed: int, labels: np.ndarray | None = None) -> Reconstruction:
        """Attack one observation; see `Attack.run`."""
        clock, matching = Stopwatch(self.budget), Matching(seen, skips_zeros=self.skips_zeros)
        joint = self.joint_labels and labels is None
        known = None if joint else torch.from_numpy(recovered_labels(seen, seed) if labels is None else labels)
        found = [self._descend(matching, seed, known, clock)]
        # A line search may find no way on and end early: what is left of the budget goes into further guesses.
        while found[-1][0] >= self.enough and not clock.is_over and self._left(matching) > LEAST_STEPS:
            found.append(self._descend(matching, seed + len(found), known, clock))
        distance, inputs, classes = min(found, key=lambda end: end[0])
        images = as_images(seen, inputs)
        return Reconstruction(images, classes.numpy(), distance, matching.evaluations, clock.seconds)

    def _left(self, matching: Matching) -> int:
        return min(self.budget.steps, self.budget.steps * self.budget.restarts - matching.evaluations)

    def _descend(
        self, matching: Matching, seed: int, known: torch.Tensor | None, clock: Stopwatch
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        seen = matching.seen
        inputs = first_guesses(seen, seed, 1, self.spread)[0].requires_grad_()
        free = [inputs]
        if known is None:
            generator = torch.Generator().manual_seed(seed)
            free.append(torch.randn((seen.num_images, seen.num_classes), generator=generator).requires_grad_())
        labels = free[-1] if known is None else known
        search = Search(lambda: matching.of(inputs, labels), free, clock, self.enough, self.history)
        while self._left(matching) > 0 and not search.is_over:
            before = search.nearest
            search.go_on(self._left(matching))
            if search.nearest >= min(before, self.promising):
                break
        return search.nearest, search.values[0], search.values[1].argmax(1) if known is None else known
