"""A network cut at a depth: head and tail stay at a site, the body goes to a body host.

The cut belongs to the network, not to an algorithm: weights keep their names, so what was trained in parts is saved,
loaded and applied as a whole network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.levels import Level, UShape, ascend, descend, through
from wardround.tasks.models.shapes import shape_of


@dataclass(frozen=True)
class Cut:
    """A U-shaped network in three parts.

    Head and tail are the outermost levels with their skips; the body is all below. They share the network's weights.

    Attributes:
        network: the whole.
        shape: its levels.
        depth: number of levels that stay at the site, 1 or more.
    """

    network: nn.Module
    shape: UShape
    depth: int

    def head(self, images: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return what is sent to the body, and the skips, which are not."""
        return descend(self._outer, images)

    def body(self, activation: torch.Tensor) -> torch.Tensor:
        """Return what the body makes of the head's activation."""
        return through(self._levels[self.depth :], self.shape.bottom, activation)

    def tail(self, skips: tuple[torch.Tensor, ...], inner: torch.Tensor) -> torch.Tensor:
        """Return the network's output from the skips and the body's output."""
        return ascend(self._outer, skips, inner)

    @cached_property
    def site_modules(self) -> tuple[nn.Module, ...]:
        """What holds the weights of head and tail."""
        return tuple(module for level in self._outer for module in level.modules)

    @cached_property
    def site_names(self) -> frozenset[str]:
        """Names, in the network, of the parameters and buffers of head and tail."""
        own = {id(value) for module in self.site_modules for value in (*module.parameters(), *module.buffers())}
        return frozenset(name for name, value in _slots(self.network).items() if id(value) in own)

    @cached_property
    def body_names(self) -> frozenset[str]:
        """Names, in the network, of the parameters and buffers of the body."""
        return frozenset(_slots(self.network)) - self.site_names

    @property
    def _levels(self) -> tuple[Level, ...]:
        # Not kept: a level is made of functions, which a deep copy of the network would share with it.
        return self.shape.levels()

    @property
    def _outer(self) -> tuple[Level, ...]:
        return self._levels[: self.depth]


def cut(network: nn.Module, depth: int) -> Cut:
    """Cut a U-shaped network below its outermost `depth` levels.

    Raises:
        PlanError: the network is no U whose levels are known, or has no level below that depth.
    """
    shape = shape_of(network)
    most = len(shape.levels())
    if not 1 <= depth <= most:
        raise PlanError(f"a cut at depth {depth} does not exist: this network has levels 1 to {most}")
    return Cut(network, shape, depth)


def _slots(network: nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())
