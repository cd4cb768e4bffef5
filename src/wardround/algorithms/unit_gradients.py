"""The sum of units' gradients, each clipped: one unit can move it by no more than the bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vmap

from wardround.algorithms.augment import Augmentation
from wardround.algorithms.feeding import training_batch
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task
from wardround.tasks.inputs import trained_part

_CHUNK_VALUES = 2**23
_CHUNK_VIEWS = 256
"""Largest number of views differentiated at once, for small networks: beyond, their maps no longer fit into caches."""
ROOM = 1 - 2.0**-12
"""Units are clipped to this share of the bound: sums are rounded to float32, and what rounding moves must fit."""


@dataclass(frozen=True)
class UnitGradients:
    """Per-unit clipping (Abadi et al. 2016, arXiv:1607.00133, algorithm 1; a unit may be several images).

    A unit's gradient is the mean over its images and their augmented views (De et al. 2022, arXiv:2204.13650, section
    3.2, for views), and is clipped as one. By `torch.func` rather than by hooks: the network is lent from site to site
    and stays as it is, any module works, frozen weights cost nothing, and it is faster on a CPU than Opacus, which
    tests use as the oracle.

    Attributes:
        task: gives the loss.
        bound: largest L2 norm that one unit adds, > 0.
        augment: applied to each view anew.
        views: augmented copies of each image.
    """

    task: Task
    bound: float
    augment: Augmentation
    views: int = 1

    def clipped_sum(
        self, network: nn.Module, images: LabelledImages, units: np.ndarray
    ) -> tuple[dict[str, torch.Tensor], float]:
        """Sum over all units of `images`.

        Args:
            network: in training mode; its trainable parameters are differentiated.
            images: all images of the units that were drawn, and no others.
            units: int64 ``(N,)``, the unit of each image.

        Returns:
            parameter name -> float64 tensor, and the mean loss over images and views; zeros without images.
        """
        part = trained_part(network)
        parameters = {
            name: value.detach().contiguous() for name, value in part.module.named_parameters() if value.requires_grad
        }
        total = torch.zeros(sum(value.numel() for value in parameters.values()), dtype=torch.float64)
        losses = [torch.zeros(0)]
        device = next(network.parameters()).device
        for rows in self._chunks(units, total.numel()):
            inputs, targets = training_batch(self.task, part, images, np.repeat(rows, self.views), self.augment)
            if part.body is None:
                inputs = inputs.contiguous()
            gradients, loss = self._each(part.module, parameters, inputs.to(device), targets.to(device))
            means = _means(gradients, np.repeat(units[rows], self.views))
            factors = (self.bound * ROOM / means.norm(dim=1).clamp_min(1e-30)).clamp_max(1.0)
            total += factors @ means
            losses.append(loss)
        found = torch.cat(losses)
        named = {part.prefix + name: value for name, value in parameters.items()}
        return _shaped(total, named), float(found.mean()) if len(found) else 0.0

    def _each(
        self, network: nn.Module, parameters: dict[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return float64 ``(B, P)`` gradients and ``(B,)`` losses, one of each per image."""

        def loss(weights: dict[str, torch.Tensor], image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            def called(*fed: torch.Tensor) -> torch.Tensor:
                found: torch.Tensor = functional_call(network, weights, fed)
                return found

            return self.task.loss(called, image[None], target[None])

        each = vmap(grad_and_value(loss), in_dims=(None, 0, 0), randomness="different")
        gradients, losses = each(parameters, inputs, targets)
        flat = torch.cat([gradients[name].flatten(1) for name in parameters], dim=1)
        return flat.cpu().double(), losses.detach()

    def _chunks(self, units: np.ndarray, num_values: int) -> Iterator[np.ndarray]:
        """Yield the rows of whole units, as many as fit into memory together."""
        order = np.argsort(units, kind="stable")
        most = max(1, min(_CHUNK_VIEWS, _CHUNK_VALUES // max(1, num_values)) // self.views)
        borders = np.flatnonzero(np.diff(units[order], append=-1)) + 1
        start = 0
        for border, following in pairwise([*borders.tolist(), len(order) + most + 1]):
            if following - start > most:
                yield order[start:border]
                start = border


def _means(gradients: torch.Tensor, units: np.ndarray) -> torch.Tensor:
    """Return ``(U, P)``: the mean over the rows ``(B, P)`` of each unit."""
    _, members, counts = np.unique(units, return_inverse=True, return_counts=True)
    if len(counts) == len(units):
        return gradients
    sums = torch.zeros(len(counts), gradients.shape[1], dtype=gradients.dtype)
    sums.index_add_(0, torch.from_numpy(members), gradients)
    return sums / torch.from_numpy(counts)[:, None]


def _shaped(flat: torch.Tensor, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    parts = torch.split(flat, [value.numel() for value in like.values()])
    return {name: part.reshape(value.shape) for (name, value), part in zip(like.items(), parts, strict=True)}


def refuse_mixed_records(network: nn.Module) -> None:
    """Refuse a network whose output for one image depends on the others of its batch.

    Raises:
        PlanError: a layer keeps or takes statistics over batches.
    """
    layer = mixing_layer(network)
    if layer:
        raise PlanError(
            f"the network's {layer} takes statistics over whole batches, so that clipping one image bounds nothing: "
            "choose a network with group norms"
        )


def mixing_layer(network: nn.Module) -> str:
    """Return the kind of the first layer that mixes images of a batch, or nothing."""
    for module in network.modules():
        tracking = isinstance(module, nn.modules.instancenorm._InstanceNorm) and module.track_running_stats
        if tracking or isinstance(module, nn.modules.batchnorm._BatchNorm):
            return type(module).__name__
    return ""
