"""What a model that cannot see shapes is given: the floor that a network has to leave behind."""

from __future__ import annotations

import numpy as np

from wardround.data.images import LabelledImages

_CHUNK = 1024


def mean_colour(images: LabelledImages) -> np.ndarray:
    """Return the mean of each channel of each image, as float64 ``(N, C)`` in 0 to 1."""
    result = np.empty((len(images), images.shape[2]))
    for start in range(0, len(images), _CHUNK):
        result[start : start + _CHUNK] = images.batch(slice(start, start + _CHUNK)).mean(axis=(1, 2)) / 255
    return result
