"""FedProx's correction: a pull towards the broadcast weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from wardround.core.update import Tensors


@dataclass(frozen=True)
class Proximal:
    """Adds ``mu (w - w_broadcast)`` to the gradient (Li et al. 2020, arXiv:1812.06127, eq. 2).

    What is not broadcast, as it stays at its site, is pulled towards where the round began.

    Attributes:
        mu: strength of the pull, >= 0.
    """

    mu: float

    def begin(self, network: nn.Module, broadcast: Tensors, memory: Tensors) -> RunningProximal:
        """Remember what was broadcast."""
        trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
        anchors = [
            torch.from_numpy(np.array(broadcast[f"net/{name}"])).to(value.device)
            if f"net/{name}" in broadcast
            else value.detach().clone()
            for name, value in trained.items()
        ]
        return RunningProximal(self.mu, list(trained.values()), anchors)


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
