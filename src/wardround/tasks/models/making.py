"""What every network has that makes images of classes, however it learned to."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class Maker(Protocol):
    """A network that turns noise and a class into an image.

    Attributes:
        size_px: edge of its images.
        latent: numbers of noise that one image is made of.
    """

    size_px: int
    latent: int

    def make(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return images ``(B, C, size_px, size_px)`` in [-2, 2]; the same ones for the same inputs.

        Args:
            inputs: float ``(B, latent + classes)``: standard normal noise, and a one in the column of the class.
        """
        ...
