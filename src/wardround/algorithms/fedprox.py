"""FedProx's correction: a pull towards the broadcast weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from wardround.core.update import Tensors


@dataclass(frozen=True)
class Proximal:
    """Adds ``mu (w - w_broadcast)`` to the gradient (Li et al. 2020, arXiv:1812.06127, eq. 2).

    Attributes:
        mu: strength of the pull, >= 0.
    """

    mu: float

    def begin(self, network: nn.Module, broadcast: Tensors, memory: Tensors) -> RunningProximal:
        """Remember where the round began."""
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        return RunningProximal(self.mu, parameters, [parameter.detach().clone() for parameter in parameters])


@dataclass(frozen=True)
class RunningProximal:
    """`Proximal` in one round."""

    mu: float
    parameters: list[nn.Parameter]
    anchors: list[torch.Tensor]

    def adjust(self) -> None:
        """Add the pull."""
        for parameter, anchor in zip(self.parameters, self.anchors, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchor, alpha=self.mu)

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return nothing: FedProx sends and keeps no more than FedAvg."""
        return {}, {}
