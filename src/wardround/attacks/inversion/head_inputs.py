"""What the head of a network was fed, solved from the gradient of its weights and bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from wardround.attacks.inversion.observation import Observation
from wardround.errors import PlanError
from wardround.tasks.inputs import name_of_head

STARTS = 12
SPREAD = 0.3
ENOUGH = 1e-14


@dataclass(frozen=True, eq=False)
class _Head:
    """A linear layer before a softmax, float64: weights ``(C, F)``, bias ``(C,)``, and the gradients of both."""

    weight: np.ndarray
    bias: np.ndarray
    weight_slope: np.ndarray
    bias_slope: np.ndarray

    @classmethod
    def of(cls, seen: Observation) -> _Head:
        name, decay = name_of_head(seen.network), seen.work.weight_decay
        trained = dict(seen.trained)
        pair = [f"{name}.weight", f"{name}.bias"]
        if not all(one in trained for one in pair):
            raise PlanError("the last layer of this network has no trained weights and bias to read its inputs off")
        values = [trained[one].detach().double().cpu().numpy() for one in pair]
        slopes = [seen.gradient[one].double().cpu().numpy() for one in pair]
        return cls(values[0], values[1], slopes[0] - decay * values[0], slopes[1] - decay * values[1])


def head_inputs(seen: Observation, labels: np.ndarray, seed: int) -> torch.Tensor:
    """Return what the head was fed for each image, ``(N, F)``, in the order of `labels`.

    Under cross-entropy the gradient of its weights is ``sum_i a_i h_i^T`` with h_i the input that image i makes,
    ``a_i = s_i (softmax(W h_i + b) - y_i)``, and s_i the image's share in the mean; that of its bias is ``sum_i a_i``.
    For one image the ratio of the two is h, exactly. For N images the first N singular vectors leave N x N numbers
    open, how they are mixed, and the definition of a_i has N x C equations for them, solved by least squares from
    several starts. Kariyappa et al. 2023 (ICML, Cocktail Party Attack) unmix by independent components instead, which
    needs no labels and is not exact.

    Args:
        seen: one local step.
        labels: int64 ``(N,)``.
        seed: of the starts.

    Raises:
        PlanError: the update took several steps; or has more images than the head's gradient can tell apart, which is
            one less than there are classes.
    """
    head = _Head.of(seen)
    classes = len(head.bias)
    if seen.work.steps != 1:
        raise PlanError("the inputs of the head can be solved for after one local step, not after several")
    if seen.num_images > classes - 1:
        raise PlanError(
            f"the head's gradient tells at most {classes - 1} images apart under {classes} classes, and this update "
            f"has {seen.num_images}: choose another attack"
        )
    shares = np.repeat(seen.shares, seen.images_a_site)[:, None] / seen.images_a_site
    truth = np.eye(classes)[labels]
    left, spread, right = np.linalg.svd(head.weight_slope, full_matrices=False)
    left, right = left[:, : len(labels)], (spread[:, None] * right)[: len(labels)]
    # The images' mean probability is known from the bias: each image starts near it.
    first = shares * (head.bias_slope + (shares * truth).sum(0) - truth)
    mixing = _solved(head, left, right, shares, truth, first, seed)
    return torch.from_numpy(np.linalg.solve(mixing, right)).to(seen.dtype)


def _solved(
    head: _Head,
    left: np.ndarray,
    right: np.ndarray,
    shares: np.ndarray,
    truth: np.ndarray,
    first: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Return the mixing ``(N, N)`` for which ``a^T = left @ mixing`` and ``h = mixing^-1 @ right`` agree best."""
    from scipy.optimize import least_squares
    from scipy.special import softmax

    count = len(truth)
    inner = right @ head.weight.T  # (N, C): logits of the unmixed inputs are mixing^-1 of it

    def residual(flat: np.ndarray) -> np.ndarray:
        mixing = flat.reshape(count, count)
        slopes = (left @ mixing).T
        logits = np.linalg.lstsq(mixing, inner, rcond=None)[0] + head.bias
        wrong = softmax(logits, axis=1) - truth - slopes / shares
        return np.concatenate([wrong.ravel(), (slopes.sum(0) - head.bias_slope) / shares.min()])

    rng = np.random.default_rng(seed)
    best: tuple[float, np.ndarray] = (np.inf, np.eye(count))
    for start in range(STARTS):
        noise = SPREAD * bool(start or count > 1) * rng.normal(size=first.shape)
        found = least_squares(residual, (left.T @ (first * (1 + noise)).T).ravel(), xtol=1e-14, ftol=1e-14, gtol=1e-14)
        if found.cost < best[0]:
            best = (found.cost, found.x.reshape(count, count))
        if best[0] < ENOUGH:
            break
    return best[1]
