"""From events to epsilon, by Google's dp-accounting."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from wardround.errors import PrivacyError
from wardround.privacy.events import KINDS, DiscreteGaussian, Event, Gaussian

if TYPE_CHECKING:
    from dp_accounting import DpEvent

INTEGER_ORDERS = (*range(2, 129), *range(136, 257, 8), 320, 384, 512, 768, 1024, 2048)
"""Renyi orders of what is exact for integers only; see `epsilon_of`."""


LEAST_FOR_LOSSES = 0.3
"""Noise multiplier below which a privacy loss distribution would fill the memory; Renyi divergences then stand in."""

_MOST = 700.0


class Accountant:
    """Adds events up. What it does not know it refuses before anything changes.

    Attributes:
        counts: event -> how often it happened.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.counts: Counter[Event] = Counter()
        self.record(events)

    def record(self, events: Iterable[Event]) -> None:
        """Add events.

        Raises:
            PrivacyError: one of them is of no known kind; none of them was added.
        """
        added = Counter(_known(events))
        self.counts += added

    def epsilon(self, delta: float) -> float:
        """Return epsilon at `delta` for all that happened; see `epsilon_of`."""
        return epsilon_of(self.counts, delta)


def epsilon_of(counts: Mapping[Event, int], delta: float) -> float:
    """Return the least epsilon for which everything in `counts` together is (epsilon, delta)-private.

    Neighbours differ by one unit, added or removed; for the unit ``site``, by one site's update set to zero. Continuous
    Gaussians are composed as privacy loss distributions. Where discrete ones are among them, all are composed by Renyi
    divergences: without sampling an event is 1/(2 z^2)-zCDP (Canonne, Kamath, Steinke 2020, arXiv:2004.00010, Theorem
    4); with Poisson sampling the divergences of *integer* orders equal those of the continuous Gaussian, because each
    term of the binomial sum is a moment at an integer multiple of an integer shift, by which a discrete Gaussian's
    normaliser does not change, and reflection at half the shift maps the lattice to itself (Mironov, Talwar, Zhang
    2019, arXiv:1908.10530, Theorem 5 and section 3.3). So only integer orders are taken.

    Args:
        counts: event -> how often it happened.
        delta: in (0, 1).

    Returns:
        Epsilon; 0 where nothing happened, infinite where `delta` does not cover the events' own failures.

    Raises:
        PrivacyError: an event is of no known kind, or `delta` is no probability.
    """
    _known(counts)
    if not 0 < delta < 1:
        raise PrivacyError(f"delta = {delta} is outside (0, 1)")
    return _epsilon(frozenset((event, count) for event, count in counts.items() if count), delta)


@lru_cache(maxsize=1024)
def _epsilon(counts: frozenset[tuple[Event, int]], delta: float) -> float:
    if not counts:
        return 0.0
    failure = sum(count * _failure(event) for event, count in counts)
    gap = sum(count * _gap(event) for event, count in counts)
    if not failure:
        return _composed(counts, delta * math.exp(-gap)) + 2 * gap
    epsilon, found = -1.0, 0.0
    while found > epsilon * (1 + 1e-9):
        epsilon = found
        # Without the failures the run would be (epsilon, left)-private; with them, neighbours differ by both of theirs.
        left = (delta - (1 + math.exp(min(epsilon, _MOST))) * failure) * math.exp(-gap)
        if left <= 0:
            return math.inf
        found = max(epsilon, _composed(counts, left) + 2 * gap)
    return found


def _composed(counts: frozenset[tuple[Event, int]], delta: float) -> float:
    # Imported here: `wardround --help` need not wait for it.
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    accountant: RdpAccountant | PLDAccountant = PLDAccountant()
    if any(isinstance(event, DiscreteGaussian) for event, _ in counts):
        accountant = RdpAccountant(INTEGER_ORDERS)
    elif min(event.noise_multiplier for event, _ in counts) < LEAST_FOR_LOSSES:
        accountant = RdpAccountant()
    for event, count in sorted(counts, key=repr):
        accountant.compose(_dp_event(event), count)
    return float(accountant.get_epsilon(delta))


def _dp_event(event: Event) -> DpEvent:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, ZCDpEvent

    if event.sampling_rate < 1:
        return PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(event.noise_multiplier))
    if isinstance(event, Gaussian):
        return GaussianDpEvent(event.noise_multiplier)
    return ZCDpEvent(1 / (2 * event.noise_multiplier**2))


def _known(events: Iterable[Event]) -> list[Event]:
    listed = list(events)
    for event in listed:
        if type(event) not in KINDS.values():
            raise PrivacyError(f"an event of type {type(event).__name__} is unknown: no accountant says what it costs")
    return listed


def _failure(event: Event) -> float:
    return event.failure if isinstance(event, DiscreteGaussian) else 0.0


def _gap(event: Event) -> float:
    return event.gap if isinstance(event, DiscreteGaussian) else 0.0
