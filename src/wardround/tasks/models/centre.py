"""Take each image's own light away before a network sees it."""

from __future__ import annotations

import torch
from torch import nn


class Centre(nn.Module):
    """Subtracts from each channel of each image its mean over all pixels: grey world, and brightness with it.

    A camera's or a lamp's colour cast is the same for the whole picture, so that none of it is left (Buchsbaum 1980,
    J. Franklin Institute 310:1, who divides where this subtracts). It has no weights and looks at one image at a time.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        return images - images.mean(dim=(2, 3), keepdim=True)
