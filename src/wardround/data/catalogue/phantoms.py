"""Random ellipses: images that nobody measured, as many as wanted, for the restoration of simulated scans."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from wardround.core.context import derive_seed
from wardround.data.decode import check_size
from wardround.data.images import LabelledImages
from wardround.data.prepare import Decoding
from wardround.errors import PlanError

MOST_INNER = 12
MOST_PIXELS = 2**30
FINER = 2
"""Each pixel is the mean of so many points across, and as many down."""


@dataclass(frozen=True)
class Phantoms:
    """Bodies of one large ellipse with 3 to 12 smaller ones inside, brighter or darker; grey.

    Image k is a function of the seed and k alone: no two share an ellipse, so train and test are disjoint.

    Attributes:
        images: number of images, dealt to the sites in turn.
        scanners: number of sites, named ``scanner-1``, ``scanner-2``, …
        size_px: edge of an image.
        seed: of the ellipses; apart from the plan's, so that seeds of training can be compared on the same images.
    """

    public: ClassVar[bool] = True

    images: int = 400
    scanners: int = 4
    size_px: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that leave a site without images.

        Raises:
            PlanError: a field is out of range.
        """
        check_size(self.size_px)
        if not 1 <= self.scanners <= 100 or not 3 * self.scanners <= self.images <= 100_000 or self.seed < 0:
            raise PlanError(
                "phantoms need scanners from 1 to 100, images from three a scanner to 100000, and a seed from 0 on"
            )
        if self.images * self.size_px**2 > MOST_PIXELS:
            raise PlanError(
                f"phantoms of more than {MOST_PIXELS} pixels in all are too many: give fewer, or smaller ones"
            )

    def load(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the images; nothing is read below `root`. Each is a group of its own."""
        numbers = np.arange(self.images)
        return LabelledImages(
            pixels=_drawn(self.images, self.size_px, self.seed),
            rows=numbers,
            labels=np.zeros(self.images, np.int64),
            origins=np.char.add("scanner-", (1 + numbers % self.scanners).astype(str)),
            groups=np.char.add(f"phantom-{self.seed}-", numbers.astype(str)),
            classes=("phantom",),
            malignant=(),
            parts=np.full(self.images, ""),
            public=self.public,
        )


@lru_cache(maxsize=2)
def _drawn(images: int, size_px: int, seed: int) -> np.ndarray:
    pixels = np.stack([phantom(size_px, derive_seed("phantom", seed, number)) for number in range(images)])
    pixels.flags.writeable = False
    return pixels


def phantom(size_px: int, seed: int) -> np.ndarray:
    """Return one image, uint8 ``(size_px, size_px, 1)``."""
    rng = np.random.default_rng(seed)
    places = (np.arange(size_px * FINER) + 0.5) / (size_px * FINER) * 2 - 1
    y, x = places[:, None], places[None, :]
    body = _ellipse(x, y, rng.uniform(-0.08, 0.08, 2), rng.uniform(0.6, 0.9, 2), rng.uniform(0, np.pi))
    level = np.where(body, rng.uniform(0.35, 0.6), 0.0)
    for _ in range(rng.integers(3, MOST_INNER + 1)):
        radius, angle = rng.uniform(0, 0.55), rng.uniform(0, 2 * np.pi)
        middle = radius * np.array([np.cos(angle), np.sin(angle)])
        inside = _ellipse(x, y, middle, np.exp(rng.uniform(np.log(0.03), np.log(0.3), 2)), rng.uniform(0, np.pi))
        level = level + np.where(inside & body, rng.choice([-1, 1]) * rng.uniform(0.05, 0.3), 0.0)
    fine = np.clip(level, 0, 1).reshape(size_px, FINER, size_px, FINER)
    return np.asarray(np.rint(fine.mean(axis=(1, 3)) * 255), np.uint8)[..., None]


def _ellipse(x: np.ndarray, y: np.ndarray, middle: np.ndarray, axes: np.ndarray, turn: float) -> np.ndarray:
    along = (x - middle[0]) * np.cos(turn) + (y - middle[1]) * np.sin(turn)
    across = (y - middle[1]) * np.cos(turn) - (x - middle[0]) * np.sin(turn)
    return np.asarray((along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1)
