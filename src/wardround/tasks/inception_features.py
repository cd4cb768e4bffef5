"""Inception's features of images, as FID takes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from wardround.tasks.base import batches
from wardround.tasks.models.inception import SIZE_PX, Inception

BATCH = 16


def inception_features(network: Inception, pixels: np.ndarray, batch: int = BATCH) -> Iterator[np.ndarray]:
    """Yield the features of images, float32 ``(B, 2048)`` a batch, in the order of the images.

    Grey images become three equal channels. Images are brought to 299 x 299 by bilinear interpolation between the
    centres of pixels, without a filter before it, and to levels from -1 to 1, as ``pytorch-fid`` does.

    Args:
        network: in evaluation mode.
        pixels: uint8 ``(N, H, W, C)`` of any size, C is 1 or 3.
        batch: images at a time; each takes about 20 MB of memory.
    """
    device = next(network.parameters()).device
    with torch.inference_mode():
        for rows in batches(len(pixels), batch):
            images = torch.from_numpy(pixels[rows]).to(device).permute(0, 3, 1, 2).float().div(255)
            scaled = functional.interpolate(
                images.expand(-1, 3, -1, -1), size=(SIZE_PX, SIZE_PX), mode="bilinear", align_corners=False
            )
            yield network(scaled.mul(2).sub(1)).cpu().numpy()
