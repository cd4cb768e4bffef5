"""Statistics over several sites: each counts its training images in whole numbers, and the numbers are added.

Sums of integers do not depend on how images are dealt to sites, so the statistics of a consortium are those of its
pooled images, exactly. The counts of one site, a histogram and a handful of sums, are in the clear for whoever adds
them: no protected sum carries them, and nothing bounds what they tell of one image but the number of others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from wardround.data.harmonise import Plane
from wardround.errors import DataError

FORMAT = 1
SCALE = 2**32
"""Landmarks are counted in multiples of this part of their range: rounding moves a mean by less than 2e-10."""
LEVELS = 256
LEAST_IMAGES = 20
MAX_BYTES = 100_000
_LIMIT = 2**62


@dataclass(frozen=True)
class Tally:
    """Whole numbers that add up over sites.

    Attributes:
        plan: digest of the plan whose training images were counted.
        percentiles: whose landmarks were summed.
        images: number of images.
        landmarks: for each percentile, the sum over images of where it lies between the image's first percentile (0)
            and its last (`SCALE`).
        levels: how often each grey level occurs in the pixels that networks are fed.
    """

    plan: str
    percentiles: tuple[float, ...]
    images: int
    landmarks: tuple[int, ...]
    levels: tuple[int, ...]

    def to_json(self) -> str:
        """Return the tally as text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, name: str) -> Tally:
        """Read what `to_json` wrote.

        Args:
            text: at most `MAX_BYTES` long.
            name: how errors call it.

        Raises:
            DataError: it is no tally.
        """
        try:
            found: Any = json.loads(text) if len(text) <= MAX_BYTES else None
            tally = cls(
                str(found["plan"]),
                tuple(float(value) for value in found["percentiles"]),
                _count(found["images"]),
                tuple(_count(value) for value in found["landmarks"]),
                tuple(_count(value) for value in found["levels"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            raise DataError(f"{name} holds no counts of this version: make it with wardround data count") from None
        bounded = all(value <= tally.images * SCALE for value in tally.landmarks)
        if len(tally.landmarks) != len(tally.percentiles) or len(tally.levels) != LEVELS or not bounded:
            raise DataError(f"{name} holds counts that cannot be: make it again with wardround data count")
        if tally.images < LEAST_IMAGES:
            raise DataError(f"{name} counts {tally.images} images; fewer than {LEAST_IMAGES} say too much of each")
        return tally

    @property
    def standard(self) -> tuple[float, ...]:
        """Mean place of each landmark, 0 to 1: the standard scale of Nyul and Udupa (1999)."""
        return tuple(value / SCALE / self.images for value in self.landmarks)

    @property
    def mean(self) -> float:
        """Mean grey level, 0 to 255."""
        return sum(level * count for level, count in enumerate(self.levels)) / sum(self.levels)

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the grey levels."""
        total, first = sum(self.levels), sum(level * count for level, count in enumerate(self.levels))
        second = sum(level * level * count for level, count in enumerate(self.levels))
        return float(np.sqrt(max(second * total - first * first, 0)) / total)


def tally_of(plan: str, percentiles: Sequence[float], planes: Iterable[Plane], pixels: Iterable[np.ndarray]) -> Tally:
    """Count images.

    Args:
        plan: digest of the plan.
        percentiles: whose landmarks are wanted, growing.
        planes: of the images, before their values become grey levels; images of one value are counted as evenly spread.
        pixels: of the same images, uint8.

    Raises:
        DataError: there are fewer than `LEAST_IMAGES`.
    """
    images, sums = 0, [0] * len(percentiles)
    for plane in planes:
        own = np.percentile(plane.values.astype(np.float64), percentiles)
        width = own[-1] - own[0]
        shares = (own - own[0]) / width if width > 0 else np.linspace(0, 1, len(own))
        sums = [total + int(np.rint(share * SCALE)) for total, share in zip(sums, shares, strict=True)]
        images += 1
    levels = np.zeros(LEVELS, dtype=np.int64)
    for picture in pixels:
        levels += np.bincount(picture.ravel(), minlength=LEVELS)
    if images < LEAST_IMAGES:
        raise DataError(f"there are {images} training images: counts of fewer than {LEAST_IMAGES} say too much of each")
    return Tally(plan, tuple(percentiles), images, tuple(sums), tuple(int(count) for count in levels))


def added(tallies: Sequence[Tally]) -> Tally:
    """Return the tally of all sites together.

    Raises:
        DataError: there is none, or they were made for different plans.
    """
    if not tallies:
        raise DataError("there are no counts to add: name the files of the sites")
    first = tallies[0]
    for tally in tallies:
        if (tally.plan, tally.percentiles) != (first.plan, first.percentiles):
            raise DataError(f"counts were made for the plans {first.plan[:8]} and {tally.plan[:8]}: agree on one")
    return Tally(
        first.plan,
        first.percentiles,
        sum(tally.images for tally in tallies),
        tuple(sum(values) for values in zip(*(tally.landmarks for tally in tallies), strict=True)),
        tuple(sum(values) for values in zip(*(tally.levels for tally in tallies), strict=True)),
    )


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _LIMIT:
        raise ValueError
    return value
