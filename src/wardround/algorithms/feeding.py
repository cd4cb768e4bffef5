"""A training batch: what the network is fed, what it should say, and the random changes to both."""

from __future__ import annotations

import numpy as np
import torch

from wardround.algorithms.augment import Augmentation
from wardround.data.images import LabelledImages
from wardround.tasks import Task
from wardround.tasks.inputs import TrainedPart


def training_batch(
    task: Task, part: TrainedPart, images: LabelledImages, rows: np.ndarray, augment: Augmentation
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and targets of these rows of `images`, on the CPU.

    Features of a fixed body are not augmented. Targets that lie on the image's grid move with it.
    """
    inputs, targets = part.inputs(images, rows), task.targets(images, rows)
    if part.body is not None:
        return inputs, targets
    return augment.paired(inputs, targets) if task.on_grid else (augment(inputs), targets)
