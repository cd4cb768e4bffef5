"""From values as a scanner stored them to the 256 grey levels that every network here is fed.

Windows, percentiles and scores are those of MONAI's intensity transforms (the tests compare), in plain numpy: MONAI
takes seconds to import, which every process that decodes would pay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wardround.data.volume import VolumeSource
from wardround.errors import DataError, PlanError

Z_RANGE = 4.0
"""A standard score of -4 becomes black and one of 4 white."""


class Intensity(Protocol):
    """Turns one slice into grey levels; a frozen dataclass that a plan chooses under ``[data.intensity]``."""

    def levels(self, values: np.ndarray, source: VolumeSource, name: str) -> np.ndarray:
        """Return uint8 of the same shape.

        Args:
            values: ``(rows, columns, channels)``, real, as the reader gave them.
            source: how the image was made.
            name: how errors call it.

        Raises:
            DataError: the image's values do not suit.
        """
        ...


@dataclass(frozen=True)
class AsStored:
    """Eight-bit values as they are, sixteen-bit ones divided by 256, float ones taken as 0 to 1. For pictures."""

    def levels(self, values: np.ndarray, source: VolumeSource, name: str) -> np.ndarray:
        """Return grey levels; see `Intensity.levels`."""
        if values.dtype == np.uint8:
            return values
        limit, what = (1, "float") if values.dtype.kind == "f" else (65535, "integer")
        if source.units or values.min() < 0 or values.max() > limit:
            raise DataError(
                f"{name} holds {what} values from {values.min()} to {values.max()} {source.units}".rstrip()
                + f", not 0 to {limit}: choose another [data.intensity], such as window"
            )
        return _quantised(values) if what == "float" else (values >> 8).astype(np.uint8)


@dataclass(frozen=True)
class Window:
    """Spread the values between two limits over black to white; what lies outside becomes black or white.

    Attributes:
        low: becomes black; in the units of the image, such as HU for CT.
        high: becomes white.
    """

    low: float = -160.0
    high: float = 240.0

    def __post_init__(self) -> None:
        """Refuse limits that are not in order.

        Raises:
            PlanError: `low` is not below `high`, or one is not finite.
        """
        if not np.isfinite([self.low, self.high]).all() or self.low >= self.high:
            raise PlanError(f"data.intensity: low = {self.low} must lie below high = {self.high}")

    def levels(self, values: np.ndarray, source: VolumeSource, name: str) -> np.ndarray:
        """Return grey levels; see `Intensity.levels`."""
        return _spread(_finite(values, name), self.low, self.high)


@dataclass(frozen=True)
class OwnWindow:
    """The window that each file recommends for display; sites may recommend different ones."""

    def levels(self, values: np.ndarray, source: VolumeSource, name: str) -> np.ndarray:
        """Return grey levels; see `Intensity.levels`."""
        if source.window is None:
            raise DataError(f"{name} recommends no window: choose another [data.intensity], such as percentile")
        centre, width = source.window
        return Window(centre - width / 2, centre + width / 2).levels(values, source, name)


@dataclass(frozen=True)
class Percentile:
    """Spread the values between two percentiles of each image over black to white.

    Attributes:
        lower: percentile that becomes black, in [0, 100).
        upper: percentile that becomes white.
    """

    lower: float = 1.0
    upper: float = 99.0

    def __post_init__(self) -> None:
        """Refuse percentiles that are not in order.

        Raises:
            PlanError: they are not within 0 to 100, the lower below the upper.
        """
        if not 0 <= self.lower < self.upper <= 100:
            raise PlanError(f"data.intensity: give 0 <= lower < upper <= 100, not {self.lower} and {self.upper}")

    def levels(self, values: np.ndarray, source: VolumeSource, name: str) -> np.ndarray:
        """Return grey levels; see `Intensity.levels`. An image of one value becomes black."""
        finite = _finite(values, name)
        low, high = np.percentile(finite, (self.lower, self.upper))
        return _spread(finite, low, high) if high > low else np.zeros(values.shape, dtype=np.uint8)


@dataclass(frozen=True)
class ZScore:
    """Each image's mean becomes middle grey, four standard deviations below it black and four above it white."""

    def levels(self, values: np.ndarray, source: VolumeSource, name: str) -> np.ndarray:
        """Return grey levels; see `Intensity.levels`."""
        finite = _finite(values, name)
        mean, deviation = finite.mean(dtype=np.float64), finite.std(dtype=np.float64) or 1.0
        return _spread(finite, mean - Z_RANGE * deviation, mean + Z_RANGE * deviation)


@dataclass(frozen=True)
class Landmarks:
    """Piecewise-linear map that brings each image's percentiles to a standard scale (Nyul and Udupa 1999).

    Magnetic Resonance in Medicine 42:1072. Values beyond the outer percentiles are cut to them, as in that paper.

    Attributes:
        percentiles: growing, within 0 to 100.
        standard: what each percentile becomes, growing, within 0 to 1; `tally.Tally.standard` of all sites' training
            images is the paper's.
    """

    percentiles: tuple[float, ...] = (1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0)
    standard: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)

    def __post_init__(self) -> None:
        """Refuse lists that do not grow or do not match.

        Raises:
            PlanError: they have unlike lengths, fewer than two entries, do not grow, or leave their range.
        """
        for key, top in (("percentiles", 100), ("standard", 1)):
            values = getattr(self, key)
            if len(values) < 2 or not 0 <= values[0] or values[-1] > top or not (np.diff(values) > 0).all():
                raise PlanError(f"data.intensity: {key} must grow from 0 or more to {top} or less, two values or more")
        if len(self.percentiles) != len(self.standard):
            raise PlanError("data.intensity: percentiles and standard need one value for each other")

    def levels(self, values: np.ndarray, source: VolumeSource, name: str) -> np.ndarray:
        """Return grey levels; see `Intensity.levels`. An image of one value becomes the lowest landmark."""
        own = np.percentile(_finite(values, name), self.percentiles)
        kept = np.concatenate([[True], np.diff(own) > 0])  # percentiles that coincide leave the lowest of them
        return _quantised(np.interp(values, own[kept], np.asarray(self.standard)[kept]))


@dataclass(frozen=True)
class ShadesOfGray:
    """Colour constancy for RGB: each channel is scaled so that the light of every picture counts as white.

    The light's colour is the Minkowski mean of the picture (Finlayson and Trezzi 2004, Color Imaging Conference 12:37).

    Attributes:
        power: of the mean, >= 1; 1 is grey world, 6 is the paper's choice.
    """

    power: float = 6.0

    def __post_init__(self) -> None:
        """Refuse a power that gives no mean.

        Raises:
            PlanError: `power` is outside 1 to 64.
        """
        if not 1 <= self.power <= 64:
            raise PlanError(f"data.intensity: power = {self.power}; give 1 to 64")

    def levels(self, values: np.ndarray, source: VolumeSource, name: str) -> np.ndarray:
        """Return grey levels; see `Intensity.levels`. A black picture stays black."""
        if values.shape[2] != 3 or values.dtype != np.uint8:
            raise DataError(f"{name} is no 8-bit RGB picture: colour constancy is for those")
        light = np.mean((values / 255.0) ** self.power, axis=(0, 1)) ** (1 / self.power)
        norm = float(np.linalg.norm(light))
        if norm == 0:
            return values
        gain = norm / (np.sqrt(3) * np.maximum(light, 1e-3))
        return _quantised(np.clip(values / 255.0 * gain, 0, 1))


AnyIntensity = AsStored | Window | OwnWindow | Percentile | ZScore | Landmarks | ShadesOfGray

INTENSITIES: dict[str, type[AnyIntensity]] = {
    "as_stored": AsStored,
    "window": Window,
    "own_window": OwnWindow,
    "percentile": Percentile,
    "z_score": ZScore,
    "landmarks": Landmarks,
    "shades_of_gray": ShadesOfGray,
}
"""Intensities by the name that a plan gives them (``[data.intensity] by = "window"``)."""


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    result = values.astype(np.float32)
    if not np.isfinite(result).all():
        raise DataError(f"{name} holds a value that is not finite (NaN or infinite): repair or remove it")
    return result


def _spread(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return _quantised(np.clip((values - low) / (high - low), 0, 1))


def _quantised(shares: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(shares * 255), dtype=np.uint8)
