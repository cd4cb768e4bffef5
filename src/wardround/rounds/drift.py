"""How one site's images differ from another's, from sums over each site: light, grey levels, features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wardround.core.update import Tensors
from wardround.data.images import LabelledImages

BINS = 16
MOST_FEATURES = 2**16
MOST_SIZE = 1e9
"""Largest number in features or their spread that is believed: beyond, distances could overflow."""
PREFIX = "drift_"
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Drift:
    """What a site tells of its test images, all of them together.

    Attributes:
        mean: float64 ``(C,)``, of each channel over all pixels, in grey levels of 0 to 255.
        deviation: float64 ``(C,)``, standard deviation of the same.
        histogram: int64 ``(C, 16)``, pixels in bins of 16 grey levels.
        features: float64 ``(F,)``, mean over images of what the trained network's head is fed; ``(0,)`` if unknown.
        spread: variance of these features over images, summed over the F.
    """

    mean: np.ndarray
    deviation: np.ndarray
    histogram: np.ndarray
    features: np.ndarray
    spread: float


def drift_of(images: LabelledImages, features: Sequence[np.ndarray]) -> Drift:
    """Sum up one site's images; `features` are batches ``(B, F)`` over the same images, or nothing."""
    levels = np.zeros((images.shape[2], 256), np.int64)
    for start in range(0, len(images), _CHUNK):
        pixels = images.batch(slice(start, start + _CHUNK))
        for channel in range(pixels.shape[3]):
            levels[channel] += np.bincount(pixels[..., channel].reshape(-1), minlength=256)
    counts, value = np.maximum(levels.sum(axis=1), 1), np.arange(256.0)
    mean = levels @ value / counts
    deviation = np.sqrt(np.maximum(levels @ value**2 / counts - mean**2, 0.0))
    found = np.concatenate(features).astype(np.float64) if features else np.zeros((0, 0))
    whole = len(found) == len(images) > 0
    return Drift(
        mean,
        deviation,
        levels.reshape(-1, BINS, 256 // BINS).sum(axis=2),
        found.mean(axis=0) if whole else np.zeros(0),
        float(found.var(axis=0).sum()) if whole else 0.0,
    )


def drifts_by_origin(images: LabelledImages, features: Sequence[np.ndarray]) -> list[Drift]:
    """Return one `Drift` for each origin among `images`, in the order of the names."""
    joined = np.concatenate(features) if features else np.zeros((0, 0), np.float32)
    drifts = []
    for origin in np.unique(images.origins):
        own = np.flatnonzero(images.origins == origin)
        drifts.append(drift_of(images.take(own), [joined[own]] if len(joined) == len(images) else []))
    return drifts


def to_tensors(drifts: Sequence[Drift]) -> dict[str, np.ndarray]:
    """Write drifts for the wire, one row each."""
    if not drifts:
        return {}
    return {
        f"{PREFIX}mean": np.stack([each.mean for each in drifts]),
        f"{PREFIX}deviation": np.stack([each.deviation for each in drifts]),
        f"{PREFIX}histogram": np.stack([each.histogram for each in drifts]),
        f"{PREFIX}features": np.stack([each.features for each in drifts]),
        f"{PREFIX}spread": np.array([each.spread for each in drifts]),
    }


def from_tensors(tensors: Tensors, count: int, channels: int) -> Iterator[Drift]:
    """Read what `to_tensors` wrote of `count` origins; nothing where a reply holds none of it.

    Raises:
        ValueError: an array has another shape or dtype, or a number in it is out of range.
        KeyError: some of the arrays are missing.
    """
    if not any(name.startswith(PREFIX) for name in tensors):
        return
    mean, deviation, histogram, features, spread = (
        tensors[PREFIX + name] for name in ("mean", "deviation", "histogram", "features", "spread")
    )
    real = (mean, deviation, features, spread)
    if not all(each.dtype == np.float64 and np.isfinite(each).all() for each in real) or histogram.dtype != np.int64:
        raise ValueError("its drift is not finite, or of another type")
    shapes = (mean.shape, deviation.shape, histogram.shape, spread.shape)
    if shapes != ((count, channels), (count, channels), (count, channels, BINS), (count,)):
        raise ValueError(f"its drift has the shapes {shapes}")
    if features.ndim != 2 or len(features) != count or features.shape[1] > MOST_FEATURES:
        raise ValueError(f"its features have the shape {features.shape}")
    if max(np.abs(features).max(initial=0.0), spread.max(initial=0.0)) > MOST_SIZE or (spread < 0).any():
        raise ValueError("its features hold a number out of range")
    if (histogram < 0).any() or (deviation < 0).any() or not ((mean >= 0) & (mean <= 255)).all():
        raise ValueError("its drift holds a number out of range")
    for row in range(count):
        yield Drift(mean[row], deviation[row], histogram[row], features[row], float(spread[row]))


def feature_distances(drifts: Mapping[str, Drift]) -> dict[str, dict[str, float]]:
    """Return how far apart the sites' mean features lie, in root mean variances within a site.

    Sites without features are left out, and so is everything where no image differs from another.
    """
    known = {site: each for site, each in drifts.items() if each.features.size}
    width = {each.features.size for each in known.values()}
    within = math.sqrt(float(np.mean([each.spread for each in known.values()]))) if known else 0.0
    if len(width) != 1 or not within:
        return {}
    return {
        site: {
            other: float(np.linalg.norm(known[site].features - known[other].features)) / within
            for other in known
            if other != site
        }
        for site in known
    }
