"""What a change of a classifier costs each class."""

from __future__ import annotations

import numpy as np

from wardround.metrics.clinical import Predictions

LEAST_IMAGES = 5
"""Of a class: of fewer, a mean and its error say nothing."""
_FAINT = 1e-9
"""Least probability that a label is given: one image shall not outweigh all others."""


def class_harms(before: Predictions, after: Predictions) -> dict[str, tuple[float, float]]:
    """Judge a change of a model by how it moves the loss of each class, on images that both models saw.

    Returns:
        Class -> mean rise of the cross-entropy of its images, in nats (negative where it falls), and the standard error
        of that mean over images. Classes of which there are fewer than `LEAST_IMAGES` are left out.
    """
    rises = _losses(after) - _losses(before)
    of_class = {name: rises[before.labels == label] for label, name in enumerate(before.classes)}
    return {
        name: (float(mine.mean()), float(mine.std(ddof=1) / np.sqrt(len(mine))))
        for name, mine in of_class.items()
        if len(mine) >= LEAST_IMAGES
    }


def _losses(found: Predictions) -> np.ndarray:
    right = found.probabilities[np.arange(len(found.labels)), found.labels].astype(np.float64)
    return np.asarray(-np.log(np.maximum(right, _FAINT)))
