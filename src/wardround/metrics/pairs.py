"""Whether a change of a model tells each two classes apart better, or mixes them up."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from wardround.metrics.clinical import Predictions

LEAST_IMAGES = 3
"""Of either class: of fewer, a difference of means says nothing."""
_FAINT = 1e-30


def pairwise_harms(before: Predictions, after: Predictions) -> dict[str, tuple[float, float]]:
    """Judge a change of a model by how it moves the log odds of each two classes, on images that both models saw.

    What was learned from images with right labels moves the log odds of one class against another up more on its own
    images than on those of the other: it separates them. What was learned from images of one class that were taught as
    the other brings them together. What moves the odds everywhere alike, because a site sees more of one class, does
    neither. The movement is measured in units of all that the change moves (the root mean square over images of the
    difference of two classes' centred log probabilities), so that an update that is twice as long does the same harm.

    Returns:
        ``"a | b"`` -> what the separation of a and b lost, in these units (negative where it gained), and its standard
        deviation over images. Classes of which there are fewer than `LEAST_IMAGES` are left out; all is 0 where nothing
        moved.
    """
    moved = _logs(after) - _logs(before)
    moved -= moved.mean(axis=1, keepdims=True)
    moved -= moved.mean(axis=0)
    unit = float(np.sqrt(2 * np.mean(np.square(moved))))
    counts = np.bincount(before.labels, minlength=len(before.classes))
    found = {}
    for a, b in combinations(range(len(counts)), 2):
        if min(counts[a], counts[b]) >= LEAST_IMAGES:
            odds = (moved[:, a] - moved[:, b]) / unit if unit else np.zeros(len(moved))
            found[f"{before.classes[a]} | {before.classes[b]}"] = _harm(
                odds[before.labels == a], odds[before.labels == b]
            )
    return found


def _logs(found: Predictions) -> np.ndarray:
    return np.asarray(np.log(np.maximum(found.probabilities.astype(np.float64), _FAINT)))


def _harm(mine: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    variance = np.var(mine, ddof=1) / len(mine) + np.var(others, ddof=1) / len(others)
    return float(others.mean() - mine.mean()), float(np.sqrt(variance))
