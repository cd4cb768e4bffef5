"""What a run has spent so far, from the events of its rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from wardround.privacy import Accountant, Event, Privacy
from wardround.rounds.events import counted, events_to_json
from wardround.rounds.exchange import Collected
from wardround.rounds.record import RoundRecord


class SpentSoFar:
    """Adds up the events of each site, round by round.

    A unit has its data at one site, so that what other sites spend is not on its account: the run's epsilon is that of
    the site with the largest.
    """

    def __init__(self, privacy: Privacy | None) -> None:
        self._privacy = privacy
        self._sites: dict[str, Accountant] = {}

    def read(self, record: RoundRecord) -> None:
        """Add the events of a round that was completed before."""
        for site, events in counted((record.privacy or {}).get("spent", {})).items():
            self._sites.setdefault(site, Accountant()).record(events.elements())

    def entered(self, record: RoundRecord) -> RoundRecord:
        """Add a round's events, and return its record with epsilon so far."""
        if self._privacy is None:
            return record
        self.read(record)
        delta = self._privacy.delta
        epsilon = max((site.epsilon(delta) for site in self._sites.values()), default=0.0)
        finite = epsilon if math.isfinite(epsilon) else None
        return record.having(privacy={**(record.privacy or {}), "epsilon": finite, "delta": delta})


def spent_by(collected: Collected, added: tuple[Event, ...]) -> Mapping[str, Any]:
    """Return site -> its events: those it told of, and for sites in the sum those of noise added to the sum."""
    spent = {site: list(events) for site, events in collected.spent.items()}
    for site in collected.sites if added else ():
        spent.setdefault(site, []).extend(added)
    return {site: events_to_json(events) for site, events in sorted(spent.items())}
