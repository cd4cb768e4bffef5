"""Classification: images to class probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from wardround.core.update import Tensors, in_group, of_group
from wardround.data.catalogue import Source
from wardround.data.images import LabelledImages
from wardround.data.prepare import Decoding
from wardround.data.sites import SiteData
from wardround.errors import PlanError
from wardround.metrics.class_losses import class_harms
from wardround.metrics.clinical import Predictions
from wardround.metrics.measures import ClassMeasures
from wardround.tasks.base import EVALUATION_BATCH, Network, batches, fresh
from wardround.tasks.inputs import trained_part
from wardround.tasks.models import ModelSpec


@dataclass(frozen=True)
class Classify:
    """The choice of `Classification`: what a plan without ``[task]`` learns."""

    name: ClassVar[str] = "classification"
    answers: ClassVar[str] = "image"
    keeps_levels: ClassVar[bool] = False

    def load(self, source: Source, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the images as they are: they bring their labels."""
        return source.load(root, how)

    def completed(self, dealt: Mapping[str, SiteData], seed: int, whole: bool) -> dict[str, SiteData]:
        """Return the sites' images as they are."""
        return dict(dealt)

    def names(self, images: LabelledImages) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the classes of the images."""
        return images.classes, images.malignant

    def task(
        self, model: ModelSpec, channels: int, classes: tuple[str, ...], malignant: tuple[str, ...] = ()
    ) -> Classification:
        """Return the task; see there."""
        return Classification(model, channels, classes, malignant)


@dataclass(frozen=True)
class Classification:
    """What the sites learn together: a network from images of one size to one of `classes`; implements `base.Task`.

    Attributes:
        model: spec of the network.
        channels: 1 (grey) or 3 (RGB).
        classes: names of the classes, in the order of the logits.
        malignant: the classes that count as malignant in the two-class reading; may be empty.
    """

    model: ModelSpec
    channels: int
    classes: tuple[str, ...]
    malignant: tuple[str, ...] = ()

    on_grid: ClassVar[bool] = False
    shows: ClassVar[tuple[str, ...]] = ()

    @property
    def measures(self) -> ClassMeasures:
        """AUC, balanced accuracy, F1 and calibration."""
        return ClassMeasures(self.classes, self.malignant)

    @property
    def facts(self) -> dict[str, Any]:
        """Classes and channels."""
        return {"classes": self.classes, "channels": self.channels}

    def build(self, seed: int) -> nn.Module:
        """Return a freshly initialised network; the same weights for the same seed and build of torch."""
        return fresh(self.model, seed, self.channels, len(self.classes))

    def targets(self, images: LabelledImages, rows: np.ndarray) -> torch.Tensor:
        """Return the labels, int64 ``(len(rows),)``."""
        return torch.from_numpy(images.labels[rows])

    def loss(self, network: Network, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of a batch: inputs float ``(B, C, H, W)``, targets int64 ``(B,)``."""
        return nn.functional.cross_entropy(_logits(network, inputs), targets)

    def answer(self, network: Network, inputs: torch.Tensor) -> np.ndarray:
        """Return the probability of each class, float32 ``(B, len(classes))``."""
        return np.asarray(torch.softmax(_logits(network, inputs), dim=1).detach().cpu().numpy())

    def evaluate(self, network: nn.Module, images: LabelledImages) -> Predictions:
        """Return class probabilities for `images`, with the network in evaluation mode."""
        part = trained_part(network.eval())
        device = next(network.parameters()).device
        parts = [np.zeros((0, len(self.classes)), np.float32)]
        with torch.inference_mode():
            for rows in batches(len(images), EVALUATION_BATCH):
                parts.append(self.answer(part.module, part.inputs(images, rows, device)))
        return Predictions(np.concatenate(parts), images.labels, images.groups, self.classes, self.malignant)

    def harms(self, before: Predictions, after: Predictions) -> dict[str, tuple[float, float]]:
        """Return what the change of the network costs each class; see `rounds.probing.Probable`."""
        return class_harms(before, after)

    def pictures(self, network: nn.Module, images: LabelledImages) -> dict[str, np.ndarray]:
        """Return nothing."""
        return {}

    def counts(self, images: LabelledImages) -> np.ndarray:
        """Return how many images have each label."""
        return images.label_counts()


def _logits(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    logits = network(inputs)
    if logits.ndim != 2:
        raise PlanError(
            f"{type(network).__name__} gives no (images, classes) logits: choose a classifier, or another [task]"
        )
    return logits.float()


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return what a network can share: ``net/<parameter>`` and ``stat/<float buffer>``, as copies.

    Integer buffers (BatchNorm's step counter) stay out: a mean of counters means nothing. So do buffers that are no
    part of the network's state: they are constants.
    """
    return in_group(_arrays(dict(network.named_parameters())), "net") | in_group(
        _arrays(shared_buffers(network)), "stat"
    )


def shared_buffers(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the float buffers that belong to a network's state, by name."""
    state = network.state_dict()
    return {name: value for name, value in network.named_buffers() if name in state and value.is_floating_point()}


def by_slot(weights: Tensors) -> dict[str, np.ndarray]:
    """Return ``net/…`` and ``stat/…`` arrays under the names that the network itself gives them."""
    return of_group(weights, "net") | of_group(weights, "stat")


def load_weights(network: nn.Module, weights: Tensors) -> None:
    """Write ``net/…`` and ``stat/…`` arrays into a network; names that `weights` lacks keep their values."""
    slots = dict(network.named_parameters()) | dict(network.named_buffers())
    with torch.no_grad():
        for name, value in by_slot(weights).items():
            slots[name].copy_(torch.from_numpy(np.array(value)))


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {
        name: tensor.detach().float().cpu().contiguous(memory_format=torch.contiguous_format).numpy().copy()
        for name, tensor in tensors.items()
    }
