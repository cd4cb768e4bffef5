"""Events on their way: from the site that added noise to the coordinator's record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from wardround.errors import PrivacyError, WireError
from wardround.privacy import Event, event_from_json, event_to_json

MOST_EVENTS = 10**6


def events_to_json(events: Iterable[Event]) -> list[list[Any]]:
    """Write events as JSON values: each kind once, with how often it happened."""
    return [[event_to_json(event), count] for event, count in sorted(Counter(events).items(), key=repr)]


def events_of(values: Any) -> tuple[Event, ...]:
    """Read what `events_to_json` wrote.

    Raises:
        WireError: it is no list of known events.
    """
    if not isinstance(values, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in values):
        raise WireError("the answer's events are no list of events with their counts")
    counts = [count for _, count in values]
    if not all(type(count) is int and count > 0 for count in counts) or sum(counts) > MOST_EVENTS:
        raise WireError(f"the answer's events have counts that are no whole numbers, or sum to more than {MOST_EVENTS}")
    try:
        return tuple(event for kind, count in values for event in [event_from_json(kind)] * count)
    except PrivacyError as error:
        raise WireError(f"the answer tells of noise that is unknown here: {error}") from None


def counted(spent: Mapping[str, Any]) -> dict[str, Counter[Event]]:
    """Read a record's ``spent``: site -> event -> how often."""
    return {site: Counter(events_of(values)) for site, values in spent.items()}
