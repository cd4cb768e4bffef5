"""Turn an update into integers that every site counts in the same unit, so that sums of them are exact."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wardround.checker.contract import Contract, Norm, Numbers
from wardround.core.update import Tensors, is_vote
from wardround.errors import PlanError
from wardround.protect.row import Row

MOST_BITS = 32
STAT_RANGE = 1.0


@dataclass(frozen=True)
class Quantise:
    """Round every value to a multiple of its tensor's step, up or down at random so that the mean is unbiased.

    The step is ``range / (2^(bits-1) - 1)``, and the range is public: the largest absolute weight that was broadcast
    in that tensor, or `floor` if that is more. A value beyond its range is cut to it, and the share of such values is
    reported. Zero stays zero, and a vote is one unit.

    Attributes:
        bits: of one value, sign included.
        weight_total: largest sum of the integer weights of a round (``W``). Examples are turned into shares of it.
        floor: smallest range of a tensor of trainable weights; statistics and control variates have at least 1.
    """

    bits: int = 16
    weight_total: int = 64
    floor: float = 0.1

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MOST_BITS:
            raise PlanError(f"quantise bits = {self.bits} is outside 2 to {MOST_BITS}")
        if not 1 <= self.weight_total <= 2**20:
            raise PlanError(f"quantise weight_total = {self.weight_total} is outside 1 to {2**20}")
        if not 0 < self.floor < math.inf:
            raise PlanError(f"quantise floor = {self.floor} is not a positive number")

    @property
    def contract(self) -> Contract:
        """Real numbers become integers; rounding lengthens an update by less than a step in each place."""
        return Contract(frozenset({Numbers.REAL}), Numbers.INTEGER, norm=Norm.INFLATES)

    @property
    def largest(self) -> int:
        """The largest integer a value becomes."""
        return int(2 ** (self.bits - 1)) - 1

    def grid(self, broadcast: Tensors, places: np.ndarray | None = None) -> Grid:
        """Return the steps for an update to `broadcast`, of which all numbers travel or those at `places`."""
        steps = {
            name: 1.0 if is_vote(name) else self._range(name, broadcast[name]) / self.largest
            for name in sorted(broadcast)
        }
        return Grid(steps, Row.of(broadcast, places), self.largest)

    def _range(self, name: str, weights: np.ndarray) -> float:
        least = self.floor if name.startswith("net/") else STAT_RANGE
        return max(least, float(np.max(np.abs(weights), initial=0.0)))


@dataclass(frozen=True)
class Grid:
    """The steps of one round, the same at every site.

    Attributes:
        steps: tensor -> size of one unit.
        row: how tensors lie end to end, and which of their numbers travel.
        largest: bound on the absolute value of an integer.
    """

    steps: Mapping[str, float]
    row: Row
    largest: int

    @property
    def num_values(self) -> int:
        """Values that travel of an update."""
        return self.row.num_values

    def encode(self, change: Tensors, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Quantise.

        Args:
            change: finite floats with the grid's names and shapes.
            rng: decides which way a value is rounded.

        Returns:
            int64 ``(num_values,)`` in [-largest, largest], and the share of values that were cut to their range.
        """
        values = np.empty(self.num_values, np.int64)
        cut, start = 0, 0
        for name, chosen in self.row.chosen(change, np.float64):
            flat = chosen / self.steps[name]
            rounded = flat if is_vote(name) else np.floor(flat + rng.random(flat.size))
            cut += int(np.count_nonzero(np.abs(flat) > self.largest))
            values[start : start + flat.size] = np.clip(rounded, -self.largest, self.largest)
            start += flat.size
        return values, cut / max(1, values.size)

    def decode(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Turn sums of integers ``(num_values,)`` back into float64 tensors in the units of the weights."""
        tensors = self.row.tensors(sums)
        return {name: np.asarray(value * self.steps[name]) for name, value in tensors.items()}

    @property
    def rounding(self) -> float:
        """Largest L2 distance by which rounding moves an update, or the difference of two; votes are not rounded."""
        return math.sqrt(sum(count * step**2 for count, step in self._measured))

    def norm_bound(self, clip_norm: float | None) -> float:
        """Return the largest norm that one quantised update can have, without its votes.

        Args:
            clip_norm: bound before quantising, if there is one. Rounding moves each value by less than one step.
        """
        whole = math.sqrt(sum(count * (step * self.largest) ** 2 for count, step in self._measured))
        if clip_norm is None:
            return whole
        return min(whole, clip_norm + self.rounding)

    @property
    def _measured(self) -> list[tuple[int, float]]:
        """How many numbers of each measured tensor travel, and the size of its unit."""
        return [(self.row.sizes[name], step) for name, step in self.steps.items() if not is_vote(name)]


@dataclass(frozen=True)
class RealGrid:
    """Stands in for a `Grid` where real numbers are encrypted as they are (ckks).

    Attributes:
        row: how tensors lie end to end, and which of their numbers travel.
    """

    row: Row

    @property
    def num_values(self) -> int:
        """Values that travel of an update."""
        return self.row.num_values

    def encode(self, change: Tensors, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """Return float64 ``(num_values,)``, of which none was cut."""
        return self.row.values(change, np.float64), 0.0

    def decode(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        """Return float64 tensors."""
        return self.row.tensors(sums)

    def norm_bound(self, clip_norm: float | None) -> float:
        """Return the clip's bound, with room for the error of the encryption; without a clip there is none."""
        return math.inf if clip_norm is None else clip_norm * (1 + 1e-3)


def integer_weights(examples: Mapping[str, int], weight_total: int) -> dict[str, int]:
    """Share `weight_total` among sites in proportion to their examples, each getting at least 1.

    Largest remainders (Hamilton's method), ties in the order of the names: whoever knows the counts gets the same
    weights.

    Args:
        examples: site -> number of training examples, > 0.
        weight_total: what the weights sum to.

    Raises:
        PlanError: there are more sites than units.
    """
    if len(examples) > weight_total:
        raise PlanError(
            f"{len(examples)} sites cannot share weight_total = {weight_total}: raise it in the quantise stage"
        )
    exact = _shares(examples, weight_total)
    weights = {site: max(1, int(share)) for site, share in exact.items()}
    left = weight_total - sum(weights.values())
    for site in sorted(exact, key=lambda site: (int(exact[site]) - exact[site], site))[:left]:
        weights[site] += 1
    return weights


def follow_from(weights: Mapping[str, int], examples: Mapping[str, int]) -> bool:
    """Whether weights can come from `integer_weights` of these sites, and of others perhaps.

    They can if one number of units per example gives every site its weight to within less than 1, where a weight of 1
    stands for anything below 2. A site may be off by one unit, never by much: the weights leave nobody alone in a sum.

    Args:
        weights: site -> integer weight, > 0.
        examples: site -> number of training examples, for the same sites.
    """
    if min(examples.values(), default=0) < 1:
        return False
    least = max(((weights[site] - 1) / count if weights[site] > 1 else 0.0) for site, count in examples.items())
    most = min((weights[site] + 1) / count for site, count in examples.items())
    return least < most


def _shares(examples: Mapping[str, int], weight_total: int) -> dict[str, float]:
    """Share units in proportion; whoever would get less than one gets one, and the others share the rest."""
    shares: dict[str, float] = {}
    left = dict(sorted(examples.items()))
    while True:
        units = (weight_total - len(shares)) / max(1, sum(left.values()))
        few = [site for site, count in left.items() if count * units < 1]
        shares |= dict.fromkeys(few, 1.0)
        left = {site: count for site, count in left.items() if site not in few}
        if not few:
            return dict(sorted((shares | {site: count * units for site, count in left.items()}).items()))
