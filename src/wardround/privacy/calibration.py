"""How much noise a whole run needs for a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

from wardround.errors import PrivacyError
from wardround.privacy.accountant import epsilon_of
from wardround.privacy.events import Event

TOLERANCE = 1e-3
LARGEST = 1e5


def calibrated(epsilon: float, delta: float, run: Callable[[float], Mapping[Event, int]]) -> float:
    """Return the smallest noise multiplier with which a run stays within (epsilon, delta).

    Args:
        epsilon: target, > 0.
        delta: in (0, 1).
        run: noise multiplier -> the events of the whole run and how often each will happen.

    Returns:
        A noise multiplier at most a thousandth above the smallest, never below it.

    Raises:
        PrivacyError: no noise multiplier up to 100,000 is enough.
    """
    if not 0 < epsilon < math.inf:
        raise PrivacyError(f"epsilon = {epsilon} is not a positive number")
    low, high = 0.0, 1.0
    while epsilon_of(run(high), delta) > epsilon:
        low, high = high, high * 2
        if high > LARGEST:
            raise PrivacyError(
                f"no noise gives epsilon = {epsilon} at delta = {delta} over this run: take fewer rounds, a larger "
                "delta, or more bits"
            )
    while high - low > TOLERANCE * high and high > TOLERANCE:
        middle = (low + high) / 2
        if epsilon_of(run(middle), delta) > epsilon:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=256)
def calibrated_for(epsilon: float, delta: float, event: Event, count: int) -> float:
    """Return `calibrated` for a run of `count` events like `event`, whose own noise multiplier does not matter."""
    from dataclasses import replace

    return calibrated(epsilon, delta, lambda multiplier: {replace(event, noise_multiplier=multiplier): count})
