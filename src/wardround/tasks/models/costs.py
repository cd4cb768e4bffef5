"""What a site computes and holds of a network that is cut."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from wardround.tasks.models.cut import cut
from wardround.tasks.models.halves import OuterNetwork


@dataclass(frozen=True)
class Costs:
    """Of one training step.

    Attributes:
        parameters: that are trained.
        flops: floating-point operations of convolutions and products, forward and backward.
        kept_bytes: what the forward pass keeps for the backward pass, weights not counted.
    """

    parameters: int
    flops: int
    kept_bytes: int

    def share_of(self, whole: Costs) -> Costs:
        """Return the same as shares in per cent, rounded."""
        return Costs(
            round(100 * self.parameters / whole.parameters),
            round(100 * self.flops / whole.flops),
            round(100 * self.kept_bytes / whole.kept_bytes),
        )


def whole_costs(network: nn.Module, images: torch.Tensor) -> Costs:
    """Return what a step over the whole network costs on `images` ``(B, C, H, W)``; the loss is not counted."""
    return _measured(copy.deepcopy(network).train(), images)


def site_costs(network: nn.Module, depth: int, images: torch.Tensor) -> Costs:
    """Return what a step costs the site if the network is cut at `depth`."""
    return _measured(site_part(copy.deepcopy(network), depth, images.shape[1]), images)


def site_part(network: nn.Module, depth: int, channels: int) -> nn.Module:
    """Return what a site trains if the network is cut at `depth`, with a body that answers zeros at no cost.

    Args:
        network: whose head and tail it is.
        depth: of the cut.
        channels: of the images.
    """
    outer = OuterNetwork(cut(network, depth), channels).train()
    outer.link = _Elsewhere(outer.channels[1])
    return outer


def _measured(network: nn.Module, images: torch.Tensor) -> Costs:
    own = {value.untyped_storage().data_ptr() for value in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = network(images)
        held_bytes = sum(storage.nbytes() for storage in kept.values())
        torch.autograd.backward(output.sum())
    parameters = sum(value.numel() for value in network.parameters())
    return Costs(parameters, counter.get_total_flops(), held_bytes)


class _Elsewhere:
    """A link to a body that computes nothing here: zeros of the right shape."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._sent = torch.empty(0)

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        """Return zeros for an output."""
        self._sent = activation
        return activation.new_zeros(len(activation), self._channels, *activation.shape[2:])

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return zeros for a gradient."""
        return torch.zeros_like(self._sent)

    def look(self, activation: torch.Tensor) -> torch.Tensor:
        """Return zeros for an output."""
        return self.forward(activation)
