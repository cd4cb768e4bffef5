"""How well each two classes are told apart, and what a change of the model costs of that."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from wardround.metrics.clinical import Predictions

LEAST_IMAGES = 3
"""Of either class: of fewer, a difference says nothing."""


def pairwise_harms(before: Predictions, after: Predictions) -> dict[str, tuple[float, float]]:
    """Return what two models that saw the same images differ by, for each two classes.

    Two classes are told apart by the difference of their log probabilities. A model that thinks one class likelier than
    another model does, because it saw more of it, shifts all these differences by one constant: their ranks, and the
    AUC with them, stay. A model that was taught images of one class as the other turns them round.

    Returns:
        ``"a | b"`` -> loss of AUC, and its standard deviation for paired images (DeLong et al. 1988), never below that
        of one image. Classes of which there are fewer than `LEAST_IMAGES` are left out.
    """
    found = {}
    counts = np.bincount(before.labels, minlength=len(before.classes))
    for a, b in combinations(range(len(counts)), 2):
        if min(counts[a], counts[b]) >= LEAST_IMAGES:
            found[f"{before.classes[a]} | {before.classes[b]}"] = _harm(before, after, a, b)
    return found


def _harm(before: Predictions, after: Predictions, a: int, b: int) -> tuple[float, float]:
    was, now = (_above(found, a, b) for found in (before, after))
    lost = was - now
    of_a, of_b = lost.mean(axis=1), lost.mean(axis=0)
    variance = np.var(of_a, ddof=1) / len(of_a) + np.var(of_b, ddof=1) / len(of_b)
    return float(lost.mean()), max(float(np.sqrt(variance)), 0.5 / min(len(of_a), len(of_b)))


def _above(found: Predictions, a: int, b: int) -> np.ndarray:
    """Return float64 ``(A, B)``: 1 where an image of `a` looks more like `a` than one of `b` does, half where equal."""
    logs = np.log(np.maximum(found.probabilities[:, [a, b]].astype(np.float64), 1e-30))
    margin = logs[:, 0] - logs[:, 1]
    mine, others = margin[found.labels == a][:, None], margin[found.labels == b][None, :]
    return np.asarray((mine > others) + 0.5 * (mine == others))
