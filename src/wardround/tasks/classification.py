"""Classification: images to class probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from wardround.core.update import Tensors, in_group, of_group
from wardround.data.images import LabelledImages
from wardround.metrics.clinical import Predictions
from wardround.tasks.inputs import trained_part
from wardround.tasks.models import ModelSpec

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Classification:
    """What the sites learn together: a network from images of one size to one of `classes`.

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

    def build(self, seed: int) -> nn.Module:
        """Return a freshly initialised network; the same weights for the same seed and build of torch."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = self.model.build(self.channels, len(self.classes))
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def loss(self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of a batch: images float ``(B, C, H, W)``, labels int64 ``(B,)``."""
        return nn.functional.cross_entropy(network(images).float(), labels)

    def predict(self, network: nn.Module, images: LabelledImages) -> Predictions:
        """Return class probabilities for `images`, with the network in evaluation mode."""
        part = trained_part(network.eval())
        device = next(network.parameters()).device
        parts = [np.zeros((0, len(self.classes)), np.float32)]
        with torch.inference_mode():
            for rows in batches(len(images), EVALUATION_BATCH):
                logits = part.module(part.inputs(images, rows, device)).float()
                parts.append(torch.softmax(logits, dim=1).cpu().numpy())
        return Predictions(np.concatenate(parts), images.labels, images.groups, self.classes, self.malignant)


def batches(count: int, size: int) -> Iterator[np.ndarray]:
    """Yield ``0 … count-1`` in order, in arrays of at most `size`."""
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))


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
