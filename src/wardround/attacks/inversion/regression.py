"""Ridge regression with many more inputs than examples."""

from __future__ import annotations

import torch

PENALTIES = tuple(10.0**exponent for exponent in range(-7, 2))
"""As shares of the mean eigenvalue of the examples' inner products."""
JUDGED = 64
"""Outputs on which the penalty is chosen."""
_NOTHING = 1e-12


class Ridge:
    """A linear map with an intercept, solved in its dual form; leave-one-out errors of the examples choose the penalty.

    Attributes:
        penalty: as a share of the mean eigenvalue.
        error: mean squared leave-one-out error at it.
    """

    def __init__(self, inputs: torch.Tensor, outputs: torch.Tensor) -> None:
        """Fit.

        Args:
            inputs: ``(K, D)``.
            outputs: ``(K, M)``.
        """
        self._centre, self._mean = inputs.mean(0), outputs.mean(0)
        self._examples = inputs - self._centre
        values, vectors = torch.linalg.eigh((self._examples @ self._examples.T).double())
        turned = vectors.T @ (outputs - self._mean).double()
        judged = turned[:, :: -(-turned.shape[1] // JUDGED)]
        self.penalty, self.error = PENALTIES[-1], float("inf")
        for penalty in PENALTIES:
            shrunk = _shrunk(values, penalty)
            # Of example k: its dual weight over the k-th diagonal element (Golub, Heath & Wahba 1979). Directions
            # without spread, such as the one that centring took out, count for nothing.
            left_out = (vectors @ (shrunk[:, None] * judged)) / (vectors.pow(2) @ shrunk)[:, None]
            error = float(left_out.pow(2).mean())
            if error < self.error:
                self.penalty, self.error = penalty, error
        dual = vectors @ (_shrunk(values, self.penalty)[:, None] * turned)
        self._dual = dual.to(outputs.dtype)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs ``(N, M)`` for inputs ``(N, D)``."""
        outputs: torch.Tensor = (inputs - self._centre) @ self._examples.T @ self._dual + self._mean
        return outputs


def _shrunk(values: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return the inverse of each penalised eigenvalue; 0 where there is no spread."""
    inverse = 1 / (values + penalty * values.mean())
    return torch.where(values > _NOTHING * values[-1], inverse, torch.zeros_like(inverse))
