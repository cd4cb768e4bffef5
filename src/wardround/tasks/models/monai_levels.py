"""The levels of MONAI's ``UNet`` and ``BasicUNet``: their weights and arithmetic stay MONAI's own."""

from __future__ import annotations

from functools import partial

import torch
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.unet import UNet
from torch import nn

from wardround.tasks.models.levels import Level, UShape


class UNetShape:
    """`monai.networks.nets.UNet`: strided convolutions down, concatenation, transposed convolutions up.

    Its blocks are nested: ``Sequential(down, SkipConnection(block below), up)``. What goes down is the skip itself.
    """

    def __init__(self, network: UNet) -> None:
        self._levels, self._bottom = _unnested(network.model)

    def levels(self) -> tuple[Level, ...]:
        """Return one level for each skip."""
        return self._levels

    def bottom(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the innermost block, which skips nothing."""
        return self._bottom(x)  # type: ignore[no-any-return]


def _unnested(block: nn.Module) -> tuple[tuple[Level, ...], nn.Module]:
    levels: list[Level] = []
    while isinstance(block, nn.Sequential) and len(block) == 3 and isinstance(block[1], SkipConnection):
        down, up = block[0], block[2]
        levels.append(Level(partial(_down_same, down), partial(_up_joined, up), (down, up)))
        block = block[1].submodule
    return tuple(levels), block


def _down_same(down: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    skip = down(x)
    return skip, skip.view_as(skip)  # see `fence`


def _up_joined(up: nn.Module, skip: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    return up(torch.cat([skip, inner], dim=1))  # type: ignore[no-any-return]


def fence(network: nn.Module) -> None:
    """Let the gradients of each block below a skip be summed before the skip's is added.

    A block that begins with a residual unit uses its input twice. With the skip that makes three gradients, which the
    whole network would add in another order than a network cut there: a difference in the last bit, and no other.
    Changes no weight, no name and no output.
    """
    for module in network.modules():
        if isinstance(module, SkipConnection):
            module.submodule.register_forward_pre_hook(_own_node)


def _own_node(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(x.view_as(x) for x in inputs)


class BasicUNetShape:
    """`monai.networks.nets.BasicUNet`: max pooling down, and an upsampling that also pads odd sizes."""

    def __init__(self, network: BasicUNet) -> None:
        self._network = network

    def levels(self) -> tuple[Level, ...]:
        """Return its four levels; the last convolution belongs to the outermost."""
        net = self._network
        below = (net.down_1, net.down_2, net.down_3, net.down_4)
        downs = (net.conv_0, *(down.get_submodule("convs") for down in below[:-1]))
        pools = [down.get_submodule("max_pooling") for down in below]
        ups = (net.upcat_1, net.upcat_2, net.upcat_3, net.upcat_4)
        inner = [
            Level(partial(_down_pooled, down, pool), partial(_up_padded, up), (down, up))
            for down, pool, up in zip(downs, pools, ups, strict=True)
        ]
        outermost = Level(inner[0].down, self._out, (net.conv_0, net.upcat_1, net.final_conv))
        return (outermost, *inner[1:])

    def bottom(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the two convolutions below the last pooling."""
        return self._network.down_4.get_submodule("convs")(x)  # type: ignore[no-any-return]

    def _out(self, skip: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
        return self._network.final_conv(self._network.upcat_1(inner, skip))  # type: ignore[no-any-return]


def _down_pooled(down: nn.Module, pool: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    skip = down(x)
    return skip, pool(skip)


def _up_padded(up: nn.Module, skip: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    return up(inner, skip)  # type: ignore[no-any-return]


def monai_shape(network: nn.Module) -> UShape | None:
    """Return the levels of a network of MONAI; ``None`` where nobody described them."""
    if type(network) is UNet:
        return UNetShape(network)
    return BasicUNetShape(network) if type(network) is BasicUNet else None
