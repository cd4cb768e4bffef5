"""What travels between a site and the coordinator: updates, and sums of updates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

Tensors = Mapping[str, np.ndarray]
"""``"group/name"`` -> array. ``net/…`` trainable weights, ``stat/…`` float buffers, ``variate/…`` control variates."""

VOTES = "vote"
"""The group of an update whose numbers are -1, 0 or 1 each: counted, so no part of its norm and never rounded."""

MODEL_GROUPS = ("net/", "stat/")
"""The groups that are weights of the model."""


@dataclass(frozen=True)
class Update:
    """What one site learned in one round: always a *difference* to what was broadcast.

    Attributes:
        site: name of the site.
        round: index of the round, from 0.
        tensors: the difference, with the names, shapes and dtypes of the broadcast.
        num_examples: training examples the site holds; the weight of the update under ``weighting = "examples"``.
        reported: what else the site says of its training: ``loss``, the mean over its steps, and ``last_loss``, that of
            the last one where the algorithm tells it. Nobody checks these numbers.
        trust: in [0, 1], what screens left of its weight.
        members: where this is the mean of a group whose sum alone is known: site -> what it reported. `site` is then
            the group's name, and `num_examples` its weight.
    """

    site: str
    round: int
    tensors: Tensors
    num_examples: int
    reported: Mapping[str, float] = field(default_factory=dict)
    trust: float = 1.0
    members: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Aggregate:
    """A weighted *sum* of updates; it is divided once, at the end, by `mean`.

    Attributes:
        tensors: name -> float64 array, the sum of weight x update.
        weight: the sum of the weights.
        sites: who is in the sum, in the order in which they were added.
        chosen: site -> weight in [0, 1] that the aggregator chose by looking at the updates; empty where it does not.
    """

    tensors: Tensors
    weight: float
    sites: tuple[str, ...]
    chosen: Mapping[str, float] = field(default_factory=dict)

    def mean(self) -> Tensors:
        """Divide the sum by its weight, once.

        Returns:
            name -> float32 array.

        Raises:
            ValueError: nothing was summed.
        """
        if self.weight <= 0:
            raise ValueError("the mean of no updates is undefined")
        return {name: np.asarray(total / self.weight, np.float32) for name, total in self.tensors.items()}


def difference(after: Tensors, before: Tensors) -> dict[str, np.ndarray]:
    """Return ``after - before``, name by name."""
    return {name: np.asarray(after[name] - before[name]) for name in before}


def applied(before: Tensors, change: Tensors) -> dict[str, np.ndarray]:
    """Return ``before + change`` in the dtypes of `before`; names without a change stay as they are."""
    return {
        name: np.asarray(value + change[name], value.dtype) if name in change else value
        for name, value in before.items()
    }


def of_group(tensors: Tensors, group: str) -> dict[str, np.ndarray]:
    """Return the members of ``group/…`` with the group taken off their names."""
    prefix = group + "/"
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def in_group(tensors: Tensors, group: str) -> dict[str, np.ndarray]:
    """Return `tensors` with every name put into ``group/…``; the inverse of `of_group`."""
    return {f"{group}/{name}": value for name, value in tensors.items()}


def without_group(tensors: Tensors, group: str) -> dict[str, np.ndarray]:
    """Return `tensors` but the members of ``group/…``."""
    return {name: value for name, value in tensors.items() if not name.startswith(f"{group}/")}


def is_vote(name: str) -> bool:
    """Whether a tensor of that name holds votes; see `VOTES`."""
    return name.startswith(VOTES + "/")


def without_votes(tensors: Tensors) -> dict[str, np.ndarray]:
    """Return the tensors that are measured, not counted; see `VOTES`."""
    return {name: value for name, value in tensors.items() if not is_vote(name)}


def size_bytes(tensors: Tensors) -> int:
    """Bytes that the arrays hold, without names or framing."""
    return sum(value.nbytes for value in tensors.values())


def all_finite(arrays: Iterable[np.ndarray]) -> bool:
    """Whether no array holds a NaN or an infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays)
