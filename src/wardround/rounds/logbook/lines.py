"""A round as entries of the ledger: the same bytes from the same record, so that the two can be compared for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wardround.ledger.entries import (
    ACCEPTED,
    FAILED,
    REFUSED,
    AggregateDigest,
    Broadcast,
    DataUse,
    Entry,
    GroupSum,
    PrivacyEvent,
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
        said = record.accepted.get(site) or record.refused.get(site)
        if said is not None:
            lines.append(UpdateCommitment(record.round, site, said["digest"], said["bytes"]))
        lines.append(_verdict(record, site))
        if said is not None and said.get("use_root"):
            lines.append(DataUse(record.round, site, said["use_root"], said["use_count"]))
    lines += [GroupSum(record.round, tuple(sites)) for sites in record.groups]
    lines += _noise(record)
    lines.append(AggregateDigest(record.round, record.state_digest))
    lines.append(RoundClosed(record.round, record.bytes_up, record.bytes_down))
    return lines


def _verdict(record: RoundRecord, site: str) -> Verdict:
    if site in record.accepted:
        return Verdict(record.round, site, ACCEPTED, record.accepted[site]["weight"], "")
    verdict = REFUSED if site in record.refused else FAILED
    return Verdict(record.round, site, verdict, 0, as_reason(record.failed.get(site, "")))


def _noise(record: RoundRecord) -> Iterator[PrivacyEvent]:
    """Yield an entry for each kind of noise that was added at a site, or for its account."""
    told = record.privacy or {}
    for site, events in told.get("spent", {}).items():
        for event, count in events:
            said = ", ".join(f"{name} {value}" for name, value in event.items())
            yield PrivacyEvent(record.round, site, f"{said}; {count} times", told.get("epsilon"), told["delta"])


def shown(lines: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return site -> the entries of a round that are about it, in the order in which it asks for them to co-sign.

    An update stands there with what it was trained from, and with its group where there are groups; where there is
    none, the verdict stands alone. A site that was not asked is not there. What noise costs is computed from all rounds
    and all sites, so that no site is asked for it.
    """
    found: dict[str, list[Entry]] = {}
    for entry in lines:
        site = getattr(entry, "site", "")
        if site and not isinstance(entry, PrivacyEvent):
            before = lines[:1] if isinstance(entry, UpdateCommitment) else []
            found.setdefault(site, [*before]).append(entry)
        for member in entry.sites if isinstance(entry, GroupSum) else ():
            found[member].append(entry)
    return found


def aggregate_in(lines: Sequence[Entry]) -> AggregateDigest | None:
    """Return what a round led to, from its entries."""
    return next((entry for entry in lines if isinstance(entry, AggregateDigest)), None)


def verdict_in(lines: Sequence[Entry]) -> Verdict | None:
    """Return the verdict among the entries that a site is shown."""
    return next((entry for entry in lines if isinstance(entry, Verdict)), None)


def attempts_in(record: RoundRecord) -> Mapping[str, int]:
    """Return site -> the attempt in which its update was summed."""
    return {site: said.get("attempt", 0) for site, said in (*record.accepted.items(), *record.refused.items())}
