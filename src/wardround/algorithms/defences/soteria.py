"""Soteria: the features that say most about the pixels leave no gradient in the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from wardround.algorithms.defences.base import Batch, RunningDefence, Scene, looked_at, refuse_outside
from wardround.errors import PlanError
from wardround.tasks.inputs import name_of_head, trained_part

_OFFSET = 0.1
_STEP = 1e-2
"""Of the differences that stand for derivatives; pixels span 4."""


@dataclass(frozen=True)
class Soteria:
    """Sun et al. 2021 (CVPR): the gradient of some columns of the head's weights is set to zero.

    As in the released code those of the features ``r`` with the smallest ``|dr/dx| / (|r| + .1)``. Differs: the norm of
    the Jacobian's rows is estimated from random directions (Hutchinson), because the exact one takes a backward pass
    for each feature; in a batch, the mean over its images counts. The paper defends the first linear layer of a LeNet
    with several; networks here have one.

    Attributes:
        share: of the head's inputs whose gradient is zero, in (0, 1).
        probes: random directions for each batch.
    """

    disguises: ClassVar[bool] = False

    share: float = 0.5
    probes: int = 16

    def __post_init__(self) -> None:
        refuse_outside("share", self.share, 0, 0.999)
        if self.probes < 1:
            raise PlanError(f"defence probes = {self.probes} is below 1")

    def begin(self, scene: Scene) -> RunningDefence:
        """Find the head.

        Raises:
            PlanError: the network has no linear head, or only its head is trained.
        """
        network = scene.network
        head = network.get_submodule(name_of_head(network)) if name_of_head(network) else None
        if not isinstance(head, nn.Linear) or trained_part(network).body is not None:
            raise PlanError("soteria needs a network that ends in one linear layer and is trained as a whole")
        generator = torch.Generator().manual_seed(scene.ctx.entropy("defence"))
        return _Masked(self, head, generator)


class _Masked(RunningDefence):
    def __init__(self, spec: Soteria, head: nn.Linear, generator: torch.Generator) -> None:
        self._spec = spec
        self._head = head
        self._generator = generator

    def adjust(self, module: nn.Module, batch: Batch, learning_rate: float) -> None:
        if self._head.weight.grad is None:
            return
        with looked_at(module):
            loud = loudness(module, self._head, batch.inputs, self._spec.probes, self._generator)
        count = int(self._spec.share * len(loud))
        self._head.weight.grad[:, torch.argsort(loud, stable=True)[:count]] = 0


def loudness(
    module: nn.Module, head: nn.Module, inputs: torch.Tensor, probes: int, generator: torch.Generator
) -> torch.Tensor:
    """Return ``|dr/dx| / (|r| + .1)`` of each of the head's inputs ``(F,)``, as a mean over the batch.

    Args:
        module: fed `inputs`.
        head: its last layer.
        inputs: ``(B, C, H, W)``.
        probes: random directions v: the mean of ``(dr/dx v)^2`` over them estimates the squared norm. Derivatives are
            central differences, which need nothing of the network but its answers.
        generator: of the directions.
    """
    fed: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, values: fed.append(values[0].detach()))
    try:
        with torch.no_grad():
            module(inputs)
            for _ in range(probes):
                direction = torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype).to(inputs.device)
                module(torch.cat([inputs + _STEP * direction, inputs - _STEP * direction]))
    finally:
        hook.remove()
    values, pairs = fed[0], [both.reshape(2, len(inputs), -1) for both in fed[1:]]
    slopes = torch.stack([(ahead - behind) / (2 * _STEP) for ahead, behind in pairs])
    return (slopes.pow(2).mean(0).sqrt() / (values.abs() + _OFFSET)).mean(0)
