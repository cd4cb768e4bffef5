"""L-BFGS that keeps the nearest point it saw, and can be told to go on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch

from wardround.attacks.inversion.base import Stopwatch

SCALE = 1e6
"""Of the objective as the optimiser sees it: torch's own learns no curvature from a step along which ``y @ s`` is at
most 1e-10, and would go on by plain gradient descent once the objective is below some 1e-8."""


class _Done(Exception):
    """The search is near enough, or out of time."""


class Search:
    """A search with a line search (strong Wolfe) for the smallest value of an objective.

    Attributes:
        nearest: the smallest value so far.
        values: of the free tensors there: a line search may end anywhere.
        is_over: whether the value is small enough, or the time used up.
    """

    def __init__(
        self,
        objective: Callable[[], torch.Tensor],
        free: Sequence[torch.Tensor],
        clock: Stopwatch,
        enough: float = 0.0,
        history: int = 100,
    ) -> None:
        """Get ready.

        Args:
            objective: scalar, of the free tensors as they are when it is called.
            free: require gradients, and are changed in place.
            clock: ends the search early.
            enough: a value below it ends the search.
            history: pairs of steps that the optimiser remembers.
        """
        self.nearest, self.is_over = float("inf"), False
        self.values = [value.detach().clone() for value in free]
        self._objective, self._free, self._clock, self._enough = objective, list(free), clock, enough
        self._optimiser = torch.optim.LBFGS(
            self._free,
            history_size=history,
            line_search_fn="strong_wolfe",
            tolerance_grad=0,
            tolerance_change=0,
        )

    def go_on(self, evaluations: int) -> None:
        """Search on from where the last call ended, with at most about so many evaluations of the objective."""
        self._optimiser.param_groups[0].update(max_iter=evaluations, max_eval=evaluations)
        with contextlib.suppress(_Done):  # the optimiser has no other way out of a step
            self._optimiser.step(self._evaluated)  # type: ignore[no-untyped-call]

    def _evaluated(self) -> torch.Tensor:
        value = self._objective()
        for place, slope in zip(self._free, torch.autograd.grad(SCALE * value, self._free), strict=True):
            place.grad = slope
        if value.item() < self.nearest:
            self.nearest = value.item()
            self.values = [place.detach().clone() for place in self._free]
        self.is_over = self.nearest < self._enough or self._clock.is_over
        if self.is_over:
            raise _Done
        return SCALE * value.detach()
