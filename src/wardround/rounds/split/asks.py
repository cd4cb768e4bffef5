"""What a site asks a body host, and what it is answered: one message each way, bounded and checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch

from wardround.core.codec import Message
from wardround.errors import WireError
from wardround.rounds.checks import shown
from wardround.rounds.split.forms import Form, Shape

ASK = "ask"
GO_ON = "go_on"
"""The operation with which a site is given the answer to its last ask."""
LARGEST_BATCH = 4096
LARGEST_SIDE = 8192
MOST_NUMBERS = 2**28


class Ask(Enum):
    """What a site wants of the body."""

    FORWARD = "forward"
    BACKWARD = "backward"
    LOOK = "look"


def is_ask(message: Message) -> bool:
    """Whether a site's answer asks the body host for something, and is not its last."""
    return ASK in message.fields


@dataclass(frozen=True)
class Wire:
    """Writes and reads what crosses the cut.

    Attributes:
        form: of the numbers.
        down: channels of what the head sends, and of its gradient.
        up: channels of what the body sends, and of its gradient.
    """

    form: Form
    down: int
    up: int

    def ask(self, kind: Ask, tensor: torch.Tensor) -> Message:
        """Write what a site sends."""
        return Message({ASK: kind.value}, self.form.write(tensor))

    def read_ask(self, message: Message) -> tuple[Ask, torch.Tensor]:
        """Read what a site sent; its numbers are checked, but for their shape against what was sent before.

        Raises:
            WireError: it asks for nothing that there is, or its tensor is none that a site of this plan sends.
        """
        try:
            kind = Ask(message.fields.get(ASK))
        except ValueError:
            raise WireError(f"the site asks for {shown(message.fields.get(ASK))}, which no body does") from None
        return kind, self._read(message, self.up if kind is Ask.BACKWARD else self.down)

    def answer(self, tensor: torch.Tensor) -> Message:
        """Write what a body host sends."""
        return Message({}, self.form.write(tensor))

    def read_answer(self, message: Message, kind: Ask, sent: Shape) -> torch.Tensor:
        """Read a body host's answer to an ask of `kind`.

        Args:
            message: from the body host.
            kind: of the ask.
            sent: shape of the activation that was sent, ``(B, C, H, W)``.

        Raises:
            WireError: it is no answer to that.
        """
        channels = self.down if kind is Ask.BACKWARD else self.up
        found = self._read(message, channels)
        return like(found, (sent[0], channels, *sent[2:]), "the body's answer")

    def _read(self, message: Message, channels: int) -> torch.Tensor:
        for value in message.tensors.values():
            if value.ndim == 4 and (value.shape[0] > LARGEST_BATCH or max(value.shape[1:3]) > LARGEST_SIDE):
                raise WireError(f"a batch of shape {value.shape} is larger than any here")
            if value.size > MOST_NUMBERS:
                raise WireError(f"{value.size} numbers are more than a message over the cut carries")
        return self.form.read(message.tensors, channels)


def like(tensor: torch.Tensor, shape: tuple[int, ...], what: str) -> torch.Tensor:
    """Return `tensor` if it has `shape`.

    Raises:
        WireError: it has another.
    """
    if tuple(tensor.shape) != tuple(shape):
        raise WireError(f"{what} has shape {tuple(tensor.shape)}, not {tuple(shape)}")
    return tensor
