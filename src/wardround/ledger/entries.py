"""What is written into the log of a run: one frozen record per kind of entry.

All digests are SHA-256 in hexadecimal digits. Sites and the coordinator make the bytes of an entry by themselves and
from what they know by themselves; that is how a site recognises its own upload in the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from wardround.core.codec import canonical_json
from wardround.core.names import MAX_NAME_BYTES
from wardround.errors import LedgerError
from wardround.ledger.notes import Note
from wardround.ledger.parts import NOTE
from wardround.ledger.records import (
    DIGEST,
    MAX_SITES,
    SITE,
    Digest,
    Record,
    Rule,
    SiteName,
    Whole,
    is_text,
    listed,
    named,
    number,
    optional,
    read_record,
    text,
)

MAX_REASON_BYTES = 512
MAX_EVENT_BYTES = 1024
MAX_VERSIONS = 64

ACCEPTED, REFUSED, FAILED = "accepted", "refused", "failed"
VERDICTS = (ACCEPTED, REFUSED, FAILED)

_VERDICT = Rule(f"one of {', '.join(VERDICTS)}", lambda value: isinstance(value, str) and value in VERDICTS)
_FINGERPRINT = Rule("64 lowercase hexadecimal digits or empty", lambda value: value == "" or DIGEST.allows(value))


class Entry(Record):
    """Base of all entries."""

    what: ClassVar[str] = "an entry of the ledger"
    max_bytes: ClassVar[int] = 2**20


@dataclass(frozen=True)
class RunOpened(Entry):
    """The first entry: which run this is.

    Attributes:
        run: the run's name, as in the origin of its checkpoints.
        plan: digest of the plan.
        versions: software -> version, at the coordinator.
        sites: site -> fingerprint of its keys; empty where sites have none, and nobody co-signs.
        log_key: the verifier key with which the coordinator signs checkpoints; empty if it signs none.
    """

    kind: ClassVar[str] = "run-opened"
    what: ClassVar[str] = "the entry that opens a run"

    run: Digest
    plan: Digest
    versions: Annotated[Mapping[str, str], named(text(64), text(128), MAX_VERSIONS)]
    sites: Annotated[Mapping[str, str], named(SITE, _FINGERPRINT, MAX_SITES)]
    log_key: Annotated[str, text(256, empty=True)]


@dataclass(frozen=True)
class DataUseKey(Entry):
    """A site's commitment to the key of its list of images; before the first round.

    Attributes:
        site: the site.
        commitment: `wardround.ledger.data_use.UseKey.commitment`.
    """

    kind: ClassVar[str] = "data-use-key"
    what: ClassVar[str] = "an entry that commits to a data-use key"

    site: SiteName
    commitment: Digest


@dataclass(frozen=True)
class Broadcast(Entry):
    """What the sites were given at the start of a round.

    Attributes:
        round: index of the round, from 0.
        digest: of the tensors that were sent; where the sites hold the state themselves, of that state.
    """

    kind: ClassVar[str] = "broadcast"
    what: ClassVar[str] = "an entry of a broadcast"

    round: Whole
    digest: Digest


@dataclass(frozen=True)
class UpdateCommitment(Entry):
    """What one site uploaded in a round.

    Attributes:
        round: index of the round, from 0.
        site: the site.
        digest: of the tensors that it sent; where updates travel as frames, of the digests of all its frames.
        size_bytes: what they took on the wire.
    """

    kind: ClassVar[str] = "update"
    what: ClassVar[str] = "an entry of an update"

    round: Whole
    site: SiteName
    digest: Digest
    size_bytes: Whole


@dataclass(frozen=True)
class Verdict(Entry):
    """What became of one site's update in a round.

    Attributes:
        round: index of the round, from 0.
        site: the site.
        verdict: ``accepted``, ``refused`` (an update was judged and left out) or ``failed`` (there was none).
        weight: of the update in the sum; 0 unless accepted.
        reason: in words, cut to size by `as_reason`; empty for an update that was accepted in full.
    """

    kind: ClassVar[str] = "verdict"
    what: ClassVar[str] = "an entry of a verdict"

    round: Whole
    site: SiteName
    verdict: Annotated[str, _VERDICT]
    weight: Annotated[float, number()]
    reason: Annotated[str, text(MAX_REASON_BYTES, empty=True)]

    def require(self) -> None:
        """Refuse a weight or a silence that does not fit the verdict."""
        if self.verdict != ACCEPTED and (self.weight or not self.reason):
            raise LedgerError(f"{self.what} leaves site {self.site!r} out, but gives it a weight or no reason")


@dataclass(frozen=True)
class GroupSum(Entry):
    """Sites whose updates were opened as one sum, in a round whose sites were dealt to groups.

    Attributes:
        round: index of the round, from 0.
        sites: whose updates are in it, as all of them signed it.
    """

    kind: ClassVar[str] = "group"
    what: ClassVar[str] = "an entry of a group"

    round: Whole
    sites: Annotated[tuple[str, ...], listed(SITE, MAX_SITES)]

    def require(self) -> None:
        """Refuse what is no group: a site alone, one twice, or names in another order than the one."""
        if len(self.sites) < 2 or list(self.sites) != sorted(set(self.sites)):
            raise LedgerError(f"{self.what} does not name two sites or more, each once and in order")


@dataclass(frozen=True)
class AggregateDigest(Entry):
    """The state that a round led to.

    Attributes:
        round: index of the round, from 0.
        digest: of the state after it.
    """

    kind: ClassVar[str] = "aggregate"
    what: ClassVar[str] = "an entry of an aggregate"

    round: Whole
    digest: Digest


@dataclass(frozen=True)
class DataUse(Entry):
    """The images that a site has used in the run so far, without saying which.

    Attributes:
        round: index of the round, from 0.
        site: the site.
        root: of its list (`wardround.ledger.use_tree`).
        count: how many images it says the list holds.
    """

    kind: ClassVar[str] = "data-use"
    what: ClassVar[str] = "an entry of data use"

    round: Whole
    site: SiteName
    root: Digest
    count: Whole


@dataclass(frozen=True)
class PrivacyEvent(Entry):
    """One addition of noise, and the privacy spent with it and all before it.

    Attributes:
        round: index of the round, from 0.
        site: where the noise was added; empty if at the coordinator, or for all sites together.
        event: in words.
        epsilon: spent so far; ``None`` if there is no bound.
        delta: at which it is stated.
    """

    kind: ClassVar[str] = "privacy"
    what: ClassVar[str] = "an entry of a privacy event"

    round: Whole
    site: Annotated[str, text(MAX_NAME_BYTES, empty=True)]
    event: Annotated[str, text(MAX_EVENT_BYTES)]
    epsilon: Annotated[float | None, optional(number())]
    delta: Annotated[float, number(0, 1)]


@dataclass(frozen=True)
class RoundClosed(Entry):
    """The end of a round.

    Attributes:
        round: index of the round, from 0.
        bytes_up: bytes of the accepted updates.
        bytes_down: bytes of the broadcasts.
    """

    kind: ClassVar[str] = "round-closed"
    what: ClassVar[str] = "the entry that closes a round"

    round: Whole
    bytes_up: Whole
    bytes_down: Whole


@dataclass(frozen=True)
class Cosigned(Entry):
    """The checkpoint of an earlier size of this log, with all that signed it: who stood behind it then.

    Attributes:
        note: the signed checkpoint.
    """

    kind: ClassVar[str] = "cosigned"
    what: ClassVar[str] = "an entry of a co-signed checkpoint"

    note: Annotated[Note, NOTE]


@dataclass(frozen=True)
class Rewound(Entry):
    """The coordinator lost what it had after some round, as a power failure may do, and makes the rounds since anew.

    Attributes:
        round: index of the first round that is made anew.
    """

    kind: ClassVar[str] = "rewound"
    what: ClassVar[str] = "an entry that goes back to a round"

    round: Whole


@dataclass(frozen=True)
class ModelFinal(Entry):
    """The last entry: the model that came of the run.

    Attributes:
        digest: of its file.
    """

    kind: ClassVar[str] = "model-final"
    what: ClassVar[str] = "the entry of the final model"

    digest: Digest


ENTRIES: Mapping[str, type[Entry]] = {
    entry.kind: entry
    for entry in (
        RunOpened,
        DataUseKey,
        Broadcast,
        UpdateCommitment,
        Verdict,
        GroupSum,
        AggregateDigest,
        DataUse,
        PrivacyEvent,
        RoundClosed,
        Cosigned,
        Rewound,
        ModelFinal,
    )
}
"""Every kind of entry -> its class."""


def read_entry(data: bytes) -> Entry:
    """Read an entry of any kind.

    Raises:
        LedgerError: the bytes are no entry, or not written in the one way in which it may be.
    """
    return read_record(data, ENTRIES, Entry.what, Entry.max_bytes)


def entry_of(kind: type[Entry]) -> Rule:
    """Return the rule of a field that holds an entry of one kind."""
    return Rule(
        kind.what, lambda value: isinstance(value, kind), lambda value: json.loads(value.to_bytes()), _read_part
    )


def _read_part(value: Any) -> Entry | None:
    try:
        return read_entry(canonical_json(value))
    except ValueError:
        return None


def as_reason(sentence: str) -> str:
    """Return `sentence` as a verdict's reason may be: printable, and cut to `MAX_REASON_BYTES`; never empty."""
    plain = "".join(letter if letter.isprintable() else " " for letter in sentence).strip() or "no reason was given"
    if is_text(plain, MAX_REASON_BYTES):
        return plain
    return plain.encode()[: MAX_REASON_BYTES - 3].decode(errors="ignore").rstrip() + "…"
