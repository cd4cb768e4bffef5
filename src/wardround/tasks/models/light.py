"""Take an image's own light away before a network sees it."""

from __future__ import annotations

import torch
from torch import nn

from wardround.errors import PlanError

LIGHTS = ("kept", "grey_world", "centred")


class WithoutLight(nn.Module):
    """Subtracts from each channel of each image its mean over all pixels.

    A camera's or a lamp's colour cast is the same for the whole picture, so that none of it is left (grey world;
    Buchsbaum 1980, J. Franklin Institute 310:1, who divides where this subtracts). It has no weights and looks at one
    image at a time.

    Args:
        keep_brightness: add the mean over all channels again.
    """

    def __init__(self, keep_brightness: bool) -> None:
        super().__init__()
        self.keep_brightness = keep_brightness

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        channels = images.mean(dim=(2, 3), keepdim=True)
        lost = channels - channels.mean(dim=1, keepdim=True) if self.keep_brightness else channels
        return images - lost


def without_light(light: str) -> list[nn.Module]:
    """Return what a network begins with for one of `LIGHTS`: nothing, or one module."""
    return [] if light == "kept" else [WithoutLight(keep_brightness=light == "grey_world")]


def check_light(light: str) -> None:
    """Refuse a light that is none of `LIGHTS`.

    Raises:
        PlanError: it is none.
    """
    if light not in LIGHTS:
        raise PlanError(f"model light = {light!r} is not one of {', '.join(LIGHTS)}")
