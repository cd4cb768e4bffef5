"""A network cut at a depth: head and tail at a site, the body at a body host; and the step that the two take.

The cut belongs to the network, not to an algorithm: weights keep their names, so what was trained in parts is saved,
loaded and applied as a whole network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.levels import Level, UShape, ascend, descend, shape_of, through

Output = Callable[[torch.Tensor], torch.Tensor]


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

    def parameters(self, names: frozenset[str]) -> list[nn.Parameter]:
        """Return the trainable parameters among `names`, in the network's order."""
        return [value for name, value in self.network.named_parameters() if name in names and value.requires_grad]

    @cached_property
    def _levels(self) -> tuple[Level, ...]:
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


class SitePass:
    """A site's half of one step, from its images to the gradient of its head.

    Skips are detached, so that the loss is taken back through the tail before the body's gradient is there; the head
    then goes back once, from what it sent and from its skips together. Every sum of gradients has the two terms that it
    has in the whole network, so every bit is the same (on one thread).

    Attributes:
        activation: what is sent to the body, detached.
    """

    def __init__(self, split: Cut, images: torch.Tensor) -> None:
        """Apply the head to `images` ``(B, C, H, W)``."""
        self._split = split
        self._sent, self._skips = split.head(images)
        self._held: tuple[torch.Tensor, ...] = ()
        self.activation = self._sent.detach()

    def loss(self, inner: torch.Tensor, loss_of: Callable[[Output], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Apply the tail to the body's output, and go back through it.

        Args:
            inner: the body's output, without a history.
            loss_of: is given the network as a function of the images, calls it once, and returns the loss.

        Returns:
            The loss, and the gradient of `inner`, which is sent to the body.
        """
        inner = inner.detach().requires_grad_()
        self._held = tuple(skip.detach().requires_grad_(skip.requires_grad) for skip in self._skips)
        loss = loss_of(lambda _: self._split.tail(self._held, inner))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), inner.grad if inner.grad is not None else torch.zeros_like(inner)

    def close(self, gradient: torch.Tensor, extra: torch.Tensor | None = None) -> None:
        """Go back through the head.

        Args:
            gradient: of the loss by `activation`, as the body sends it.
            extra: a loss of the site's own on what it sent, as a regulariser of what it gives away; it is added.
        """
        reached = [(self._sent, gradient)]
        reached += [
            (skip, held.grad) for skip, held in zip(self._skips, self._held, strict=True) if held.grad is not None
        ]
        if extra is not None:
            reached.append((extra, torch.ones_like(extra)))
        torch.autograd.backward([value for value, _ in reached], [found for _, found in reached])


class BodyPass:
    """A body host's half of one step.

    Attributes:
        output: what is sent back to the site, detached.
    """

    def __init__(self, split: Cut, activation: torch.Tensor) -> None:
        """Apply the body to a site's activation."""
        self._received = activation.detach().requires_grad_()
        self._sent = split.body(self._received)
        self.output = self._sent.detach()

    def close(self, gradient: torch.Tensor) -> torch.Tensor:
        """Go back through the body from the gradient of `output`; return that of the activation."""
        self._sent.backward(gradient)  # type: ignore[no-untyped-call]
        if self._received.grad is None:
            return torch.zeros_like(self._received)
        return self._received.grad


def _slots(network: nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())
