"""The search for policies of `Ats`, on images that anybody may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from wardround.algorithms.defences.ats import MOST_TRANSFORMS, Policy, applied
from wardround.algorithms.defences.base import looked_at
from wardround.algorithms.defences.transforms import TRANSFORMS

STEPS = 5
_EPSILON = 1e-5


@dataclass(frozen=True)
class Scored:
    """A policy and what the search thinks of it.

    Attributes:
        policy: of `Ats`.
        privacy: how straight the way to the changed image is for an attacker, from -1 to 1; less hides more.
        accuracy: how well an untrained network tells changed images apart; more is better.
    """

    policy: Policy
    privacy: float
    accuracy: float


def candidates(count: int, seed: int) -> list[Policy]:
    """Return different policies of up to `MOST_TRANSFORMS` transforms, drawn evenly."""
    rng = np.random.default_rng(seed)
    found: dict[Policy, None] = {}
    while len(found) < count:
        places = rng.integers(0, len(TRANSFORMS), rng.integers(1, MOST_TRANSFORMS + 1))
        found[tuple(places.tolist())] = None
    return list(found)


def searched(
    policies: Sequence[Policy], network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, keep: int, seed: int
) -> list[Scored]:
    """Score policies as Gao et al. 2021 do, and return the best.

    Privacy is the mean cosine between the gradients of the changed image and of what lies on the line from noise to
    it. Accuracy is the training-free score of Mellor et al. (arXiv:2006.04647v1): from the eigenvalues of the
    correlations of the network's derivatives at a batch.

    Differs: both from the network as it is given; of the policies whose accuracy is in the upper half, where the paper
    has a threshold for its networks, those with the lowest privacy score are kept.

    Args:
        policies: candidates.
        network: gives logits, each image's without a look at the others.
        inputs: float ``(B, C, H, W)``: public images.
        labels: int64 ``(B,)``.
        keep: how many to return.
        seed: of the noise.
    """
    noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed), dtype=inputs.dtype)
    with looked_at(network):
        scores = []
        for policy in policies:
            changed = applied(policy, inputs)
            scores.append(
                Scored(policy, _privacy(network, changed, labels, noise.to(inputs)), _accuracy(network, changed))
            )
    middle = float(np.median([score.accuracy for score in scores]))
    return sorted((one for one in scores if one.accuracy >= middle), key=lambda one: one.privacy)[:keep]


def _privacy(network: nn.Module, changed: torch.Tensor, labels: torch.Tensor, noise: torch.Tensor) -> float:
    weights = {name: value.detach() for name, value in network.named_parameters() if value.requires_grad}

    def loss_of(values: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(functional_call(network, values, (image[None],)), label[None])

    each = vmap(grad(loss_of), (None, 0, 0))
    end = _flat(each(weights, changed, labels))
    way = [_flat(each(weights, noise + (changed - noise) * step / STEPS, labels)) for step in range(STEPS)]
    return float(torch.stack([nn.functional.cosine_similarity(one, end) for one in way]).mean())


def _flat(slopes: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([value.flatten(1) for value in slopes.values()], 1)


def _accuracy(network: nn.Module, changed: torch.Tensor) -> float:
    fed = changed.detach().clone().requires_grad_()
    (slopes,) = torch.autograd.grad(network(fed).sum(), fed)
    flat = slopes.flatten(1).double()
    powers = torch.linalg.eigvalsh(torch.corrcoef(flat)).clamp_min(0)
    return -float((torch.log(powers + _EPSILON) + 1 / (powers + _EPSILON)).mean())
