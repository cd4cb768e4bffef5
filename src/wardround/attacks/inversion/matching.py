"""How far the update that candidate images would have made is from the one that was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from wardround.attacks.inversion.observation import Observation

Distance = Callable[[list[torch.Tensor], list[torch.Tensor]], torch.Tensor]
"""``(implied, seen) -> scalar``, 0 where both are equal."""


def squared(implied: list[torch.Tensor], seen: list[torch.Tensor]) -> torch.Tensor:
    """Return the squared Euclidean distance as a share of what was seen (Zhu et al. 2019, without the share)."""
    scale = sum((value.pow(2).sum() for value in seen), torch.zeros(()))
    far = sum(((a - b).pow(2).sum() for a, b in zip(implied, seen, strict=True)), torch.zeros(()))
    return far / scale.clamp_min(torch.finfo(scale.dtype).tiny)


def cosine(implied: list[torch.Tensor], seen: list[torch.Tensor]) -> torch.Tensor:
    """Return 1 minus the cosine between the two, over all weights together (Geiping et al. 2020, eq. 4)."""
    product = sum(((a * b).sum() for a, b in zip(implied, seen, strict=True)), torch.zeros(()))
    lengths = [sum((v.pow(2).sum() for v in values), torch.zeros(())).sqrt() for values in (implied, seen)]
    return 1 - product / (lengths[0] * lengths[1]).clamp_min(torch.finfo(product.dtype).tiny)


@dataclass
class Matching:
    """The distance as a function of candidate images.

    Attributes:
        seen: what the attacker holds.
        distance: `squared` or `cosine`.
        skips_zeros: compare only the numbers of the update that are not zero: what a defence took out is no gradient.
        target: the gradient that was seen, in the order of the network's trained weights.
        evaluations: how often a candidate's update was computed.
    """

    seen: Observation
    distance: Distance = squared
    skips_zeros: bool = False
    target: list[torch.Tensor] = field(init=False)
    evaluations: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._weights = {name: value.detach() for name, value in self.seen.trained}
        self.target = [self.seen.gradient[name] for name in self._weights]
        self._kept = [value != 0 for value in self.target]
        self._buffers = dict(self.seen.network.named_buffers())

    def of(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the distance for `inputs`, float ``(N, C, H, W)``, in a form that gradients flow through.

        Args:
            inputs: candidates as the network is fed them, step after step.
            labels: int64 ``(N,)``, or logits of labels, float ``(N, classes)``.
        """
        self.evaluations += 1
        return self._of(inputs, labels)

    def of_each(self, group: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the distance of each member of a group, ``(R,)``, for ``(R, N, C, H, W)``.

        Small networks spend more time between their operations than in them, so members go through them side by side
        (3 times as many a second with eight), except where BatchNorm keeps statistics in place.
        """
        self.evaluations += len(group)
        if self._buffers or len(group) == 1:
            return torch.stack([self._of(member, labels) for member in group])
        together: torch.Tensor = vmap(self._of, (0, None))(group, labels)
        return together

    def implied_each(self, group: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean gradient of each member of a group as one row, ``(R, W)``; no gradients flow through it."""
        self.evaluations += len(group)

        def row(member: torch.Tensor) -> torch.Tensor:
            return torch.cat([value.flatten() for value in self.implied(member, labels)])

        rows = torch.stack([row(member) for member in group]) if self._buffers else vmap(row)(group)
        return rows.detach()

    def implied(self, inputs: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
        """Return the mean gradient that an update, or a sum of them, made of `inputs` would stand for."""
        seen, count = self.seen, self.seen.images_a_site
        if seen.work.steps == 1:  # one pass for all sites
            shares = torch.tensor(seen.shares, dtype=seen.dtype).repeat_interleave(count) / count
            return list(self._slopes(self._weights, inputs, labels, shares).values())
        total = [torch.zeros_like(value) for value in self._weights.values()]
        for site, share in enumerate(seen.shares):
            rows = slice(site * count, (site + 1) * count)
            mean = self._walked(inputs[rows], labels[rows])
            total = [value + share * slope for value, slope in zip(total, mean, strict=True)]
        return total

    def _walked(self, inputs: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
        """Simulate one site's local steps, and return the mean of their gradients."""
        work, count = self.seen.work, self.seen.images_a_step
        shares = torch.full((count,), 1 / count, dtype=self.seen.dtype)
        weights = self._weights
        total = [torch.zeros_like(value) for value in weights.values()]
        for step in range(work.steps):
            rows = slice(step * count, (step + 1) * count)
            slopes = self._slopes(weights, inputs[rows], labels[rows], shares)
            weights = {name: value - work.learning_rate * slopes[name] for name, value in weights.items()}
            total = [value + slope / work.steps for value, slope in zip(total, slopes.values(), strict=True)]
        return total

    def _of(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        implied = self.implied(inputs, labels)
        if self.skips_zeros:
            implied = [value * kept for value, kept in zip(implied, self._kept, strict=True)]
        return self.distance(implied, self.target)

    def _slopes(
        self, weights: dict[str, torch.Tensor], inputs: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        slopes: dict[str, torch.Tensor] = grad(self._loss)(weights, inputs, labels, shares)
        decay = self.seen.work.weight_decay
        return {name: slope + decay * weights[name] for name, slope in slopes.items()} if decay else slopes

    def _loss(
        self, weights: dict[str, torch.Tensor], inputs: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor
    ) -> torch.Tensor:
        buffers = {name: value.clone() for name, value in self._buffers.items()}  # BatchNorm moves its statistics
        logits = functional_call(self.seen.network, buffers | weights, (inputs,))
        targets = torch.softmax(labels, 1) if labels.is_floating_point() else labels
        return nn.functional.cross_entropy(logits, targets, reduction="none") @ shares
