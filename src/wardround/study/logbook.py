"""A run's ledger as lines that a person reads like a logbook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch

from wardround.ledger.entries import (
    ACCEPTED,
    AggregateDigest,
    Broadcast,
    DataUse,
    Entry,
    GroupSum,
    PrivacyEvent,
    RoundClosed,
    UpdateCommitment,
    Verdict,
)
from wardround.study.audit import Audit


@dataclass(frozen=True)
class Line:
    """One line of the logbook.

    Attributes:
        when: ``opening``, ``round 3`` or ``end``.
        what: in words.
    """

    when: str
    what: str


def logbook(audit: Audit) -> Iterator[Line]:
    """Yield what a ledger tells, from the opening to the end."""
    opened = audit.history.opened
    versions = ", ".join(f"{name} {version}" for name, version in opened.versions.items())
    yield Line("opening", f"run {opened.run} of plan {opened.plan}")
    yield Line("opening", f"sites: {', '.join(opened.sites)}; software: {versions}")
    for entry in audit.history.opening[1:]:
        yield Line("opening", f"{getattr(entry, 'site', '')} commits to the key of its list of images")
    for index, lines in enumerate(audit.history.rounds):
        for entry in lines:
            yield Line(f"round {index}", _said(entry))
        yield from _signatures(audit, f"round {index}", audit.history.ends[index])
    if audit.history.closed is not None:
        yield Line("end", f"the model has SHA-256 {audit.history.closed.digest}")
        yield from _signatures(audit, "end", audit.checkpoint.size)
    for remark in audit.remarks:
        yield Line("remark", remark)


@singledispatch
def _said(entry: Entry) -> str:
    return entry.what


@_said.register
def _(entry: Broadcast) -> str:
    return f"broadcast {_short(entry.digest)}"


@_said.register
def _(entry: UpdateCommitment) -> str:
    return f"{entry.site} sent {entry.size_bytes:,} bytes, {_short(entry.digest)}"


@_said.register
def _(entry: Verdict) -> str:
    counts = f"{entry.site} counts with weight {entry.weight:g}" if entry.verdict == ACCEPTED else ""
    return ": ".join(filter(None, (counts or f"{entry.site} {entry.verdict}", entry.reason)))


@_said.register
def _(entry: DataUse) -> str:
    return f"{entry.site} has used {entry.count:,} images so far, list {_short(entry.root)}"


@_said.register
def _(entry: GroupSum) -> str:
    return f"{', '.join(entry.sites)} were opened as one sum"


@_said.register
def _(entry: AggregateDigest) -> str:
    return f"the state after it is {_short(entry.digest)}"


@_said.register
def _(entry: PrivacyEvent) -> str:
    spent = "no bound" if entry.epsilon is None else f"epsilon {entry.epsilon:.3g} at delta {entry.delta:g}"
    return f"{entry.event} ({entry.site or 'all sites'}): {spent} so far"


@_said.register
def _(entry: RoundClosed) -> str:
    return f"{entry.bytes_up:,} bytes up, {entry.bytes_down:,} down"


def _signatures(audit: Audit, when: str, size: int) -> Iterator[Line]:
    found = audit.endorsed.get(size)
    if found is not None:
        who = "all" if found.outlasting == found.signed else ", ".join(found.outlasting)
        also = f", {who} also with ML-DSA-65" if found.outlasting else ""
        final = "final" if found.is_final else f"not final, without {', '.join(found.missing)}"
        yield Line(when, f"co-signed by {', '.join(found.signed) or 'nobody'}{also}: {final}")


def _short(digest: str) -> str:
    return f"{digest[:16]}…"
