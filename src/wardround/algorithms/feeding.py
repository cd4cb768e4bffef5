"""A training batch: what the network is fed, what it should say, and the random changes to both."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from wardround.algorithms.augment import Augmentation
from wardround.data.images import LabelledImages
from wardround.tasks import Task
from wardround.tasks.inputs import TrainedPart

Disguise = Callable[[np.ndarray, torch.Tensor, torch.Tensor], torch.Tensor]
"""Rows, inputs and targets in, what to train on in place of the inputs out."""


def training_batch(
    task: Task,
    part: TrainedPart,
    images: LabelledImages,
    rows: np.ndarray,
    augment: Augmentation,
    disguise: Disguise = lambda _, inputs, __: inputs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and targets of these rows of `images`, on the CPU.

    Features of a fixed body are not augmented. Targets that lie on the image's grid move with it. A disguise comes
    before both: it belongs to the image, and not to one look at it.
    """
    inputs, targets = part.inputs(images, rows), task.targets(images, rows)
    inputs = disguise(rows, inputs, targets)
    if part.body is not None:
        return inputs, targets
    return augment.paired(inputs, targets) if task.on_grid else (augment(inputs), targets)
