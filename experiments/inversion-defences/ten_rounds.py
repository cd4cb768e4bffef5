"""The attacker who watches the same image in several rounds: one candidate has to explain every update."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from wardround.attacks.inversion.base import as_images
from wardround.attacks.inversion.observation import Observation

STEPS = 120


def refined(seen: Sequence[Observation], start: np.ndarray, label: np.ndarray, skips_zeros: bool) -> np.ndarray:
    """Search on from what one round gave, for the image that comes nearest to all rounds' updates, by L-BFGS.

    Args:
        seen: the same image's updates, one image each.
        start: ``(H, W, C)`` in ``[0, 1]``.
        label: int64 ``(1,)``.
        skips_zeros: leave out of the distance what a round's defence set to zero.

    Returns:
        float32 ``(H, W, C)`` in ``[0, 1]``.
    """
    weights, _ = stack_module_state([one.network for one in seen])  # type: ignore[no-untyped-call]
    weights = {name: value.detach() for name, value in weights.items()}
    target = {name: torch.stack([one.gradient[name] for one in seen]) for name in weights}
    kept = {name: value != 0 if skips_zeros else torch.ones_like(value) for name, value in target.items()}
    scale = sum(value.pow(2).flatten(1).sum(1) for value in target.values())
    classes = torch.from_numpy(label)

    def loss_of(values: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(functional_call(seen[0].network, values, (image,)), classes)

    slopes_of = vmap(grad(loss_of), (0, None))
    fed = seen[0].in_limits(torch.from_numpy(start).permute(2, 0, 1)[None].contiguous()).requires_grad_()
    search = torch.optim.LBFGS(
        [fed],
        max_iter=STEPS,
        max_eval=STEPS,
        history_size=50,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )
    best, where = torch.inf, fed.detach().clone()

    def evaluate() -> torch.Tensor:
        nonlocal best, where
        slopes = slopes_of(weights, fed)
        far = sum(((slopes[n] - target[n]) * kept[n]).pow(2).flatten(1).sum(1) for n in weights)
        distance = (far / scale).mean()
        (fed.grad,) = torch.autograd.grad(distance, fed)
        if distance.item() < best:
            best, where = distance.item(), fed.detach().clone()
        return distance.detach()

    search.step(evaluate)  # type: ignore[no-untyped-call]
    return as_images(seen[0], where)[0]
