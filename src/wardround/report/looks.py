"""What a site's images look like, as a run folder says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wardround.report.values import count, number


@dataclass(frozen=True)
class Looks:
    """What a site's test images look like, all together.

    Attributes:
        mean: of each channel, in grey levels.
        deviation: of each channel.
        histogram: pixels of each channel in bins of equal width over 0 to 255.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    histogram: tuple[tuple[int, ...], ...]


def looks_of(said: Mapping[str, Any]) -> Looks:
    """Read what ``summary.json`` says of one site.

    Raises:
        ValueError: a number is none, or there are not as many of one kind as of the other.
    """
    looks = Looks(
        tuple(number(value) for value in said["mean"]),
        tuple(number(value) for value in said["deviation"]),
        tuple(tuple(count(number) for number in row) for row in said["histogram"]),
    )
    if len(looks.mean) not in (1, 3) or not len(looks.mean) == len(looks.deviation) == len(looks.histogram):
        raise ValueError(f"drift has {len(looks.mean)} means, {len(looks.histogram)} histograms: no image has them")
    return looks
