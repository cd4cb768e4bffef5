"""Events: one for each noise that was added. They are what epsilon is computed from, and nothing else is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wardround.errors import PrivacyError


@dataclass(frozen=True)
class Gaussian:
    """A sum was released with continuous Gaussian noise.

    Attributes:
        noise_multiplier: standard deviation of the noise over the L2 distance by which one unit can move the sum, > 0.
        sampling_rate: probability with which each unit was in the sum, drawn for each unit on its own (Poisson
            sampling), in (0, 1]; 1 for a sum over all.
    """

    noise_multiplier: float
    sampling_rate: float = 1.0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class DiscreteGaussian:
    """A sum of integers was released with (a sum of shares of) discrete Gaussian noise.

    Attributes:
        noise_multiplier: as in `Gaussian`, for the noise of the shares that are sure to be there.
        sampling_rate: as in `Gaussian`.
        failure: probability that rounding moved the sum by more than the noise was made for, or that a value had to
            be cut to its range; taken off delta, ``1 + e^epsilon`` times.
        gap: bound on the logarithm of the ratio between the law of the summed shares and a discrete Gaussian's, over
            all values together (tau times the dimension in Kairouz, Liu, Steinke 2021,
            arXiv:2102.06387, section 3).
    """

    noise_multiplier: float
    sampling_rate: float = 1.0
    failure: float = 0.0
    gap: float = 0.0

    def __post_init__(self) -> None:
        _check(self)
        if not 0 <= self.failure < 1 or not 0 <= self.gap < math.inf:
            raise PrivacyError(f"a failure of {self.failure} or a gap of {self.gap} is no bound")


Event = Gaussian | DiscreteGaussian

KINDS: dict[str, type[Gaussian] | type[DiscreteGaussian]] = {
    "gaussian": Gaussian,
    "discrete_gaussian": DiscreteGaussian,
}
"""Names of events in ``rounds.jsonl``, in messages, and in a site's record of what it spent."""


def event_to_json(event: Event) -> dict[str, Any]:
    """Write an event as JSON values.

    Raises:
        PrivacyError: the event is of no known kind.
    """
    for name, kind in KINDS.items():
        if type(event) is kind:
            return {"kind": name, **dataclasses.asdict(event)}
    raise PrivacyError(f"an event of type {type(event).__name__} is unknown: no accountant says what it costs")


def event_from_json(values: Any) -> Event:
    """Read what `event_to_json` wrote.

    Raises:
        PrivacyError: the values are no event of a known kind.
    """
    name = values.get("kind") if isinstance(values, Mapping) else None
    if not isinstance(name, str) or name not in KINDS:
        raise PrivacyError("an event is of no known kind: no accountant says what it costs")
    kind = KINDS[name]
    fields = {key: value for key, value in values.items() if key != "kind"}
    names = {field.name for field in dataclasses.fields(kind)}
    if fields.keys() != names or not all(type(value) in (int, float) for value in fields.values()):
        raise PrivacyError(f"an event of kind {name} needs the numbers {', '.join(sorted(names))}")
    return kind(**{key: float(value) for key, value in fields.items()})


def _check(event: Gaussian | DiscreteGaussian) -> None:
    if not 0 < event.noise_multiplier < math.inf:
        raise PrivacyError(f"a noise multiplier of {event.noise_multiplier} is no noise: no event without it")
    if not 0 < event.sampling_rate <= 1:
        raise PrivacyError(f"a sampling rate of {event.sampling_rate} is outside (0, 1]")
