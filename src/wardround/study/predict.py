"""Applies the model of a finished run to new images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy
from safetensors import SafetensorError

from wardround.core.update import Tensors, in_group, of_group
from wardround.data.catalogue import MedMnist, Slide, Source
from wardround.data.catalogue.medmnist import fitted
from wardround.data.catalogue.slide import without_dab
from wardround.data.decode import decode_image
from wardround.errors import DataError, RunFolderError, SiteError
from wardround.rounds.plan import Plan
from wardround.rounds.store import SiteStore
from wardround.study.folder import RunFolder
from wardround.tasks.classification import EVALUATION_BATCH, Classification, batches, load_weights, to_input, weights_of

if TYPE_CHECKING:
    from torch import nn

CHANNELS = (3, 1)


@dataclass(frozen=True)
class Prediction:
    """What the model says about one image.

    Attributes:
        file: the image.
        classes: names of the C classes.
        probabilities: of the classes, in their order; they sum to one.
    """

    file: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def label(self) -> str:
        """The most probable class; the first of equals."""
        return self.classes[self.probabilities.index(max(self.probabilities))]


def predict(run: Path, files: Sequence[Path], site: str | None = None) -> list[Prediction]:
    """Apply a run's model to image files, which are brought to the size and channels of the run's own images.

    Files of a run on the embedded slide are patches as a scanner records them, with white brought to 255; the DAB stain
    is taken off here.

    Args:
        run: folder of a run that is done.
        files: PNG, JPEG or TIFF.
        site: whose model to use where part of the weights is personal (FedBN, ``local``); the shared model otherwise
            is the same for every site.

    Returns:
        One prediction for each file, in their order.

    Raises:
        RunFolderError: the folder holds no finished run, its model is damaged, or a site must be named.
        DataError: a file is missing or is no image.
    """
    import torch

    folder = RunFolder(run)
    plan = folder.plan()
    task, network = _network(folder, plan, site)
    found = []
    for rows in batches(len(files), EVALUATION_BATCH):
        chosen = [files[row] for row in rows]
        pixels = np.stack([_read(plan.data.source, file, task.channels, plan) for file in chosen])
        with torch.inference_mode():
            probabilities = torch.softmax(network(to_input(pixels)).float(), dim=1).tolist()
        found += [Prediction(file, task.classes, tuple(row)) for file, row in zip(chosen, probabilities, strict=True)]
    return found
