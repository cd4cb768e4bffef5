"""Who was accused in which rounds, and who lost a round without being accused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wardround.rounds.record import RoundRecord

WEAK = 0.5
"""A site of which less than this part of its weight counts is accused, where updates are judged one by one."""


def counted(records: Sequence[RoundRecord], sites: Sequence[str], culprits: set[str]) -> dict[str, Any]:
    """Count site-rounds: those in which a site was accused, and those that it lost with its group.

    A site is accused while it is not asked because of a screen, and, where updates are judged one by one, where less
    than half of its weight is left. Where groups are judged, a site whose group is left out loses the round unaccused.
    """
    found: dict[str, Any] = dict.fromkeys(("honest", "malicious"), 0)
    found |= {f"{who}_{what}": 0 for who in ("honest", "malicious") for what in ("accused", "lost")}
    first: dict[str, int] = {}
    for record in records:
        for site in sites:
            who = "malicious" if site in culprits else "honest"
            weak = record.judged.get(site, {}).get("trust", 1.0) < WEAK
            accused = site not in record.cohort or (weak and not record.groups)
            found[who] += 1
            found[f"{who}_accused"] += accused
            found[f"{who}_lost"] += accused or site not in record.accepted
            if accused:
                first.setdefault(site, record.round)
    found["alarmed_honest"] = sum(site not in culprits for site in first)
    return {**found, "first_alarms": sorted(first[site] for site in culprits & first.keys()), "culprits": len(culprits)}
