"""The two halves of a cut network: what a site holds, and what a body host holds, each under the whole's names."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from wardround.tasks.models.cut import Cut

PROBE_PX = 64


class BodyLink(Protocol):
    """A site's way to the body."""

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        """Return the body's output in a training step; `backward` follows."""
        ...

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the last `forward`'s activation, given that of its output; the body may step."""
        ...

    def look(self, activation: torch.Tensor) -> torch.Tensor:
        """Return the body's output where nothing is trained."""
        ...


class Guard(Protocol):
    """What a site does to an activation before it sends it."""

    def protect(self, activation: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return what is sent; gradients go back through it."""
        ...


class OuterNetwork(nn.Module):
    """Head and tail of a network, with a link in the place of the body, whose weights are dropped.

    To whoever trains or applies it, it is a network like the whole: autograd goes back through the tail, through the
    link, and once through the head, where the gradients of skips and activation meet as they do in the whole.

    Attributes:
        link: must be set before the network is applied.
        guard: protects what is sent; ``None`` sends it as it is.
        channels: of the activation that is sent, and of the body's output.
    """

    def __init__(self, split: Cut, image_channels: int, guard: Guard | None = None) -> None:
        """Take the outer levels of `split`, and drop the weights of the others.

        Args:
            split: the network, cut; it is changed.
            image_channels: of the images that it is fed.
            guard: protects what is sent.
        """
        super().__init__()
        self._split = split
        self.link: BodyLink | None = None
        self.guard = guard
        self.channels = probe(split, image_channels)
        self.body_shapes = _take(self, split, split.site_names)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to the network's output, by way of the body."""
        if self.link is None:
            raise RuntimeError("the head has no link to a body")
        activation, skips = self._split.head(images)
        if self.guard is not None:
            activation = self.guard.protect(activation, images)
        return self._split.tail(skips, self._through(activation, self.link))

    def _through(self, activation: torch.Tensor, link: BodyLink) -> torch.Tensor:
        if not self.training:
            return link.look(activation)
        return _OverLink.apply(activation, link)  # type: ignore[no-untyped-call,no-any-return]


class InnerNetwork(nn.Module):
    """The body of a network; the weights of head and tail are dropped."""

    def __init__(self, split: Cut) -> None:
        """Take the inner levels of `split`, which is changed."""
        super().__init__()
        self._split = split
        _take(self, split, split.body_names)

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        """Map a head's activation to what its tail is given."""
        return self._split.body(activation)


class BodyPass:
    """A body host's half of one step.

    Attributes:
        output: what is sent back to the site, without a history.
    """

    output: torch.Tensor

    def __init__(self, network: nn.Module, activation: torch.Tensor) -> None:
        """Apply the body to a site's activation."""
        self._received = activation.detach().requires_grad_()
        with torch.enable_grad():  # a link in the same process is used inside of an autograd function
            self._sent = network(self._received)
        self.output = self._sent.detach()

    def close(self, gradient: torch.Tensor) -> torch.Tensor:
        """Go back through the body from the gradient of `output`; return that of the activation."""
        self._sent.backward(gradient)
        return self._received.grad if self._received.grad is not None else torch.zeros_like(self._received)


def probe(split: Cut, image_channels: int) -> tuple[int, int]:
    """Return the channels of the activation and of the body's output; both have the same batch, height and width."""
    training, some = split.network.training, next(split.network.parameters())
    split.network.eval()
    with torch.no_grad():
        size = max(PROBE_PX, 4 * 2 ** len(split.shape.levels()))
        activation, _ = split.head(torch.zeros(1, image_channels, size, size, dtype=some.dtype, device=some.device))
        output = split.body(activation)
    split.network.train(training)
    return activation.shape[1], output.shape[1]


class _OverLink(torch.autograd.Function):
    """Forward and backward over a `BodyLink`."""

    @staticmethod
    def forward(ctx: Any, activation: torch.Tensor, link: BodyLink) -> torch.Tensor:
        ctx.link = link
        return link.forward(activation)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.link.backward(gradients[0]), None


def _take(owner: nn.Module, split: Cut, names: frozenset[str]) -> dict[str, tuple[int, ...]]:
    """Let `owner` hold those weights of the network that `names` has, under the same names, and drop the others."""
    whole, dropped = split.network, {}
    for path, module in whole.named_modules():
        for slots in (module._parameters, module._buffers):
            for leaf, value in list(slots.items()):
                name = f"{path}.{leaf}" if path else leaf
                if value is not None and name not in names:
                    dropped[name] = tuple(value.shape)
                    slots[leaf] = None
    for child, module in whole.named_children():
        owner.add_module(child, module)
    return dropped
