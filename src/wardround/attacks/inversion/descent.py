"""First-order descent on candidate images, with the schedule of Geiping et al. 2020."""

from __future__ import annotations

from collections.abc import Callable

import torch

from wardround.attacks.inversion.base import Stopwatch
from wardround.attacks.inversion.observation import Observation

MILESTONES = (3 / 8, 5 / 8, 7 / 8)
DECAY = 0.1


def descend(
    seen: Observation,
    start: torch.Tensor,
    objective: Callable[[torch.Tensor], torch.Tensor],
    steps: int,
    learning_rate: float,
    clock: Stopwatch,
    signed: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise `objective` for every member of a group by Adam, within the range of pixels.

    Args:
        seen: says what that range is.
        start: first guesses, ``(R, …)``; members do not meet unless the objective makes them.
        objective: of a tensor shaped like `start`; ``(R,)``.
        steps: of Adam; its rate falls to a tenth at 3/8, 5/8 and 7/8 of them.
        learning_rate: of the first step, in units of the network's input.
        clock: ends the descent early.
        signed: step by the sign of the gradient only.

    Returns:
        Each member's smallest value of the objective ``(R,)``, and where it was, shaped like `start`.
    """
    values = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([values], learning_rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [round(share * steps) for share in MILESTONES], DECAY)
    best, where = torch.full((len(start),), torch.inf, dtype=start.dtype), start.clone()
    for _ in range(steps):
        each = objective(values)
        nearer = each.detach() < best
        best[nearer], where[nearer] = each.detach()[nearer], values.detach()[nearer]
        (slope,) = torch.autograd.grad(each.sum(), values)
        values.grad = slope.sign() if signed else slope
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            values.clamp_(*seen.limits)
        if clock.is_over:
            break
    return best, where
