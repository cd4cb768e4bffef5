"""Integers with shares of discrete Gaussian noise: sums of them hide whoever was in them.

Every tensor has the same step, so that an L2 norm means the same before and after rounding. Rounding lengthens the
distance between two sums that differ by one unit; the noise is made for the longer one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wardround.core.update import Tensors
from wardround.errors import PlanError, SiteError
from wardround.privacy import DiscreteGaussian, Event
from wardround.privacy.discrete_gaussian import LARGEST_VARIANCE, discrete_gaussian
from wardround.privacy.words import Words
from wardround.protect.noise import NoiseScale
from wardround.protect.row import Row

LEAST_DEVIATION = 2.0
"""Of a share, in steps: below it, sums of shares are no discrete Gaussian any more."""

FAILURE_SHARE = 1e-15
"""Of delta, over the whole run: what rounding and the range may fail with. Room for them costs a logarithm of it."""

_CONDITIONAL_BETA = math.exp(-0.5)
_MOST_REDRAWS = 1000
_REFUSED_TAIL = 9.0


@dataclass(frozen=True)
class NoisyGrid:
    """One step for all tensors, and each site's share of the noise (Kairouz, Liu, Steinke 2021, arXiv:2102.06387).

    Departures from the paper: no rotation, because the range has room for the largest coordinate that the bound on the
    norm allows; and instead of a modular sum, a range that noise leaves with a probability that is taken off delta.
    Where a unit is a record, a whole site's sum is rounded: with the same rounding coins, two sums that differ by one
    record differ after rounding by that difference, rounded at random, so that the same bound holds but for a
    probability that is taken off delta as well.

    Attributes:
        row: how tensors lie end to end, and which of their numbers travel.
        scale: how much noise the sum needs.
        bound: largest norm of one site's update before rounding.
        bits: of one value, sign included.
        shares: sites whose shares are sure to be in the sum.
        most_sites: largest number of sites in a sum.
        failure: probability that a round's rounding or range fails; half of it each.
    """

    row: Row
    scale: NoiseScale
    bound: float
    bits: int
    shares: int
    most_sites: int
    failure: float

    @property
    def largest(self) -> int:
        """Bound on the absolute value of an integer."""
        return int(2 ** (self.bits - 1)) - 1

    @property
    def num_values(self) -> int:
        """Values that travel of an update, with noise or without."""
        return self.row.num_values

    @cached_property
    def step(self) -> float:
        """Size of one unit: the smallest power of two with which update and noise fit the range.

        Raises:
            PlanError: the noise would be too coarse at that many bits.
        """
        exponent = math.ceil(math.log2(self.bound / self.largest))
        while not self._fits(2.0**exponent):
            exponent += 1
            if 2.0**exponent > self.bound * 2**10:
                raise PlanError(f"noise and updates do not fit {self.bits} bits: raise bits in the quantise stage")
        step = 2.0**exponent
        if math.sqrt(self._variance(step)) < LEAST_DEVIATION:
            raise PlanError(
                f"at {self.bits} bits a share of noise has a standard deviation below {LEAST_DEVIATION:g} steps: "
                "raise bits in the quantise stage, or lower the clip's norm"
            )
        return step

    @property
    def variance(self) -> int:
        """Variance of one site's share, in steps squared."""
        return self._variance(self.step)

    @property
    def event(self) -> Event:
        """What the release of one round's sum costs.

        The sum of shares is as good as a discrete Gaussian but for a ratio whose logarithm is at most ``10 d sum over k
        < n of exp(-2 pi^2 variance k / (k + 1))`` (the paper's section 3).
        """
        terms = (math.exp(-2 * math.pi**2 * self.variance * k / (k + 1)) for k in range(1, self.shares))
        gap = 10 * len(self._covered) * sum(terms)
        return DiscreteGaussian(self.scale.multiplier, self.scale.sampling_rate, self.failure, gap)

    def encode(self, change: Tensors, words: Words) -> tuple[np.ndarray, Event]:
        """Round, and add this site's share.

        Args:
            change: floats with the row's names and shapes, of a norm of at most `bound`.
            words: where the randomness comes from.

        Returns:
            int64 ``(num_values,)`` in [-largest, largest], and the one event that this is.

        Raises:
            SiteError: the update is longer than the bound for which the noise was made.
        """
        values = self.row.values(change, np.float64)
        if not math.sqrt(float(np.square(values).sum())) <= self.bound * (1 + 1e-6):
            raise SiteError("the update is longer than its clip allows, so its noise would hide nothing")
        covered = self._covered
        rounded = self._rounded(values[covered] / self.step, words)
        noise = discrete_gaussian(self.variance, rounded.size, words)
        encoded = np.zeros(self.num_values, np.int64)
        encoded[covered] = np.clip(rounded + noise, -self.largest, self.largest)
        return encoded, self.event

    def decode(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Turn sums of integers ``(num_values,)`` back into float64 tensors in the units of the weights."""
        return {name: np.asarray(value * self.step) for name, value in self.row.tensors(sums).items()}

    def norm_bound(self, clip_norm: float | None) -> float:
        """Return a norm that one site's noisy update exceeds with a probability below 10^-17; the clip is known."""
        count = len(self._covered)
        noise = math.sqrt(self.variance) * (math.sqrt(count) + _REFUSED_TAIL)
        return self.bound + self.step * (math.sqrt(count) + noise)

    def _rounded(self, values: np.ndarray, words: Words) -> np.ndarray:
        """Round up or down at random; where a unit is a site, again until the norm is within the inflated bound."""
        most = self._distance(self.step) if self.scale.whole_site else math.inf
        for _ in range(_MOST_REDRAWS):
            rounded: np.ndarray = np.floor(values + words.uniform(values.size))
            if math.sqrt(float(np.square(rounded).sum())) <= most:
                return rounded.astype(np.int64)
        raise SiteError(f"{_MOST_REDRAWS} roundings of the update were all longer than the noise is made for")

    def _distance(self, step: float) -> float:
        """Return the inflated bound, in steps: how far one unit moves a rounded sum (the paper's section 4)."""
        count = len(self._covered)
        length, root = self.scale.sensitivity * (1 + 1e-6) / step, math.sqrt(count)
        beta = _CONDITIONAL_BETA if self.scale.whole_site else self.failure / 2
        at_random = length**2 + count / 4 + math.sqrt(2 * math.log(1 / beta)) * (length + root / 2)
        return min(length + root, math.sqrt(at_random))

    def _variance(self, step: float) -> int:
        return math.ceil((self.scale.multiplier * self._distance(step)) ** 2 / self.shares)

    def _fits(self, step: float) -> bool:
        variance = self._variance(step)
        if variance > LARGEST_VARIANCE:
            return False
        draws = max(1, len(self._covered)) * self.most_sites
        reach = math.sqrt(2 * variance * math.log(4 * draws / self.failure))
        return self.bound * (1 + 1e-6) / step + 1 + reach <= self.largest

    @cached_property
    def _covered(self) -> np.ndarray:
        flags = [np.full(size, self.scale.covers(name)) for name, size in self.row.sizes.items()]
        return np.flatnonzero(np.concatenate([np.zeros(0, bool), *flags]))
