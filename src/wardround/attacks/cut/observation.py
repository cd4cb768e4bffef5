"""What a body host sees of a site: the bytes that crossed the cut, read as any receiver reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from wardround.core.codec import decode
from wardround.errors import WireError
from wardround.rounds.split.asks import Ask, Wire, is_ask


@dataclass(frozen=True)
class CutObservation:
    """The activations that a site sent, in their order.

    Attributes:
        activations: float32 ``(N, C, H, W)``.
    """

    activations: torch.Tensor

    @classmethod
    def of_frames(cls, frames: Iterable[bytes], wire: Wire) -> CutObservation:
        """Read the activations among the frames of one site; other messages, and gradients, are passed over.

        Raises:
            WireError: a frame is malformed, or none holds an activation.
        """
        found = []
        for frame in frames:
            message = decode(frame)
            if not is_ask(message):
                continue
            kind, tensor = wire.read_ask(message)
            if kind is not Ask.BACKWARD:
                found.append(tensor)
        if not found:
            raise WireError("nothing that crossed the cut is an activation")
        return cls(torch.cat(found))
