"""What a site does to an activation before it sends it, so that the body host can make less of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from wardround.rounds.split.rules import SplitRules
from wardround.tasks.models.halves import Guard

_TINY = 1e-9


@dataclass(frozen=True)
class CutGuard:
    """Adds noise to what is sent, and draws the head towards activations that tell less of the images.

    Attributes:
        noise_sd: see `SplitRules.noise_sd`.
        decorrelation: see `SplitRules.decorrelation`.
    """

    noise_sd: float
    decorrelation: float

    def protect(self, activation: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return the activation as it is sent; noise is drawn from torch's generator.

        Noise is added also where nothing is trained: the body host sees those activations as well. Gradients pass the
        noise as if it were not there.
        """
        if self.decorrelation and torch.is_grad_enabled():
            activation = _Decorrelated.apply(activation, images, self.decorrelation)  # type: ignore[no-untyped-call]
        if self.noise_sd:
            activation = activation + self.noise_sd * activation.detach().std() * torch.randn_like(activation)
        return activation


def guard_of(rules: SplitRules) -> Guard | None:
    """Return what a plan puts before the cut; ``None`` sends activations as they are."""
    return CutGuard(rules.noise_sd, rules.decorrelation) if rules.noise_sd or rules.decorrelation else None


def distance_correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the distance correlation of two batches, in [0, 1] (Székely et al. 2007, definition 5, squared form).

    Args:
        first: ``(B, …)``, B at least 2.
        second: ``(B, …)``.
    """
    a, b = _centred(first), _centred(second)
    covariance = (a * b).mean()
    variances = (a * a).mean() * (b * b).mean()
    return covariance / torch.sqrt(variances.clamp_min(_TINY))


def _centred(batch: torch.Tensor) -> torch.Tensor:
    flat = batch.flatten(1).float()
    square = (flat[:, None] - flat[None]).square().sum(2)
    distances = torch.sqrt(square + _TINY)
    return distances - distances.mean(0, keepdim=True) - distances.mean(1, keepdim=True) + distances.mean()


class _Decorrelated(torch.autograd.Function):
    """Passes an activation on; its gradient gains that of the weighted distance correlation with the images."""

    @staticmethod
    def forward(ctx: Any, activation: torch.Tensor, images: torch.Tensor, weight: float) -> torch.Tensor:
        ctx.save_for_backward(activation, images)
        ctx.weight = weight
        return activation.view_as(activation)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        activation, images = ctx.saved_tensors
        with torch.enable_grad():
            held = activation.detach().requires_grad_()
            (found,) = torch.autograd.grad(distance_correlation(held, images.detach()), held)
        return gradients[0] + ctx.weight * found, None, None
