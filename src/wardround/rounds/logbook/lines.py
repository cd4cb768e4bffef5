"""A round as entries of the ledger: the same bytes from the same record, so that the two can be compared for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wardround.ledger.entries import (
    ACCEPTED,
    FAILED,
    AggregateDigest,
    Broadcast,
    DataUse,
    Entry,
    RoundClosed,
    UpdateCommitment,
    Verdict,
    as_reason,
)
from wardround.rounds.record import RoundRecord

BEFORE = -1
"""The index that stands for all that comes before round 0."""


def lines_of(record: RoundRecord) -> list[Entry]:
    """Return the entries of a completed round, in their order.

    Raises:
        LedgerError: the record holds what no entry may hold.
    """
    lines: list[Entry] = [Broadcast(record.round, record.started)]
    for site in record.cohort:
        said = record.accepted.get(site)
        if said is None:
            lines.append(Verdict(record.round, site, FAILED, 0, as_reason(record.failed.get(site, ""))))
            continue
        lines.append(UpdateCommitment(record.round, site, said["digest"], said["bytes"]))
        lines.append(Verdict(record.round, site, ACCEPTED, said["weight"], ""))
        if said.get("use_root"):
            lines.append(DataUse(record.round, site, said["use_root"], said["use_count"]))
    lines.append(AggregateDigest(record.round, record.state_digest))
    lines.append(RoundClosed(record.round, record.bytes_up, record.bytes_down))
    return lines


def shown(lines: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return site -> the entries of a round that are about it, in the order in which it asks for them to co-sign.

    An accepted update stands there with what it was trained from, another with its verdict alone; a site that was not
    asked is not there.
    """
    found: dict[str, list[Entry]] = {}
    for entry in lines:
        site = getattr(entry, "site", "")
        if site:
            before = lines[:1] if isinstance(entry, UpdateCommitment) else []
            found.setdefault(site, [*before]).append(entry)
    return found


def aggregate_in(lines: Sequence[Entry]) -> AggregateDigest | None:
    """Return what a round led to, from its entries."""
    return next((entry for entry in lines if isinstance(entry, AggregateDigest)), None)


def verdict_in(lines: Sequence[Entry]) -> Verdict | None:
    """Return the verdict among the entries that a site is shown."""
    return next((entry for entry in lines if isinstance(entry, Verdict)), None)


def attempts_in(record: RoundRecord) -> Mapping[str, int]:
    """Return site -> the attempt in which its accepted update was summed."""
    return {site: said.get("attempt", 0) for site, said in record.accepted.items()}
