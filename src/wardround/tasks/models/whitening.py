"""Where ``whitening.safetensors`` comes from: what scattering features look like on pictures that anybody has.

    python -m wardround.tasks.models.whitening

Centring and decorrelating features by a site's own statistics would leak them, or cost privacy. These constants come
from crops of eight photographs that scikit-image ships. They only make training faster: any constants would be as
private.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from PIL import Image

from wardround.tasks.models.scattering import MEASUREMENTS, measured

PICTURES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
CROPS = 200
"""Of each picture."""
EDGE_PX = 64
SMALLEST_PX = 48
RIDGE = 0.3
"""Added to the variances of the decorrelated, standardised measurements, so that rare directions stay small."""
GAIN = 1.4
"""Norm that the features of a picture would have if they were white; the ridge leaves about half of it."""


def crops(count: int = CROPS) -> np.ndarray:
    """Return `count` crops of every picture: uint8 ``(8 x count, 64, 64, 3)``."""
    rng = np.random.default_rng(0)
    found = []
    for name in PICTURES:
        with as_file(files("skimage.data").joinpath(name)) as path, Image.open(path) as opened:
            picture = opened.convert("RGB")
        shortest = min(picture.size)
        for _ in range(count):
            edge = round(shortest * float(np.exp(rng.uniform(np.log(SMALLEST_PX / shortest), 0))))
            left, top = (int(rng.integers(0, length - edge + 1)) for length in picture.size)
            crop = picture.crop((left, top, left + edge, top + edge))
            found.append(np.asarray(crop.resize((EDGE_PX, EDGE_PX), Image.Resampling.BILINEAR)))
    return np.stack(found)


def constants(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and decorrelating matrix for grey and colour, orders 1 and 2.

    Args:
        pixels: uint8 ``(N, H, W, 3)``.

    Returns:
        ``mean_<channels>_<order>`` float32 ``(F,)`` and ``decorrelate_<channels>_<order>`` float32 ``(F, F)``.
    """
    colour = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 63.75 - 2
    found = {}
    for channels, images in ((1, colour.mean(dim=1, keepdim=True)), (3, colour)):
        for order in MEASUREMENTS:
            rows = torch.cat([measured(image[None], order) for image in images]).double().numpy()
            found[f"mean_{channels}_{order}"] = rows.mean(axis=0).astype(np.float32)
            found[f"decorrelate_{channels}_{order}"] = _decorrelating(rows).astype(np.float32)
    return found


def _decorrelating(rows: np.ndarray) -> np.ndarray:
    """Return the matrix that standardises and softly whitens `rows`."""
    deviation = rows.std(axis=0)
    variances, axes = np.linalg.eigh(np.cov(rows / deviation, rowvar=False))
    inverse_root = (axes / np.sqrt(variances + RIDGE)) @ axes.T
    return np.asarray(GAIN / np.sqrt(rows.shape[1]) * inverse_root / deviation[:, None])


def main() -> None:
    """Write the constants."""
    torch.set_num_threads(1)
    path = Path(__file__).with_name("whitening.safetensors")
    path.write_bytes(safetensors.numpy.save(constants(crops())))
    print(path)


if __name__ == "__main__":
    main()
