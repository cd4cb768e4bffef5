"""A ledger read from its beginning: which entries may follow which, and the rounds that they tell of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from wardround.errors import LedgerError
from wardround.ledger.entries import (
    AggregateDigest,
    Broadcast,
    Cosigned,
    DataUse,
    DataUseKey,
    Entry,
    GroupSum,
    ModelFinal,
    PrivacyEvent,
    Rewound,
    RoundClosed,
    RunOpened,
    UpdateCommitment,
    Verdict,
    read_entry,
)

_IN_ROUND = (Broadcast, UpdateCommitment, Verdict, DataUse, GroupSum, PrivacyEvent, AggregateDigest, RoundClosed)


@dataclass
class History:
    """What a ledger tells.

    Attributes:
        opening: the entries before round 0; the first is the one that opens the run.
        rounds: the entries of each completed round, in their order; a round that was made anew counts in its last form.
        cosigned: index of an entry -> the co-signed checkpoint in it.
        ends: number of entries at the end of each round.
        rewinds: the rounds from which the run went on anew.
        closed: what the run ended with; ``None`` if it has not ended.
    """

    opening: list[Entry]
    rounds: list[list[Entry]] = field(default_factory=list)
    cosigned: dict[int, Cosigned] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    rewinds: list[int] = field(default_factory=list)
    closed: ModelFinal | None = None

    @property
    def opened(self) -> RunOpened:
        """The first entry."""
        first = self.opening[0]
        if not isinstance(first, RunOpened):
            raise LedgerError("a ledger does not begin with the entry that opens a run")
        return first


def read_history(entries: Iterable[bytes]) -> History:
    """Read a ledger.

    Raises:
        LedgerError: an entry cannot be read, or stands where it may not; the sentence names it.
    """
    history, current = History([]), list[Entry]()
    for index, data in enumerate(entries):
        try:
            current = _take(history, current, index, read_entry(data))
        except LedgerError as error:
            raise LedgerError(f"entry {index} of the ledger: {error}") from None
    if not history.opening:
        raise LedgerError("the ledger is empty")
    if current:
        raise LedgerError(f"the ledger ends within round {len(history.rounds)}")
    return history


def _take(history: History, current: list[Entry], index: int, entry: Entry) -> list[Entry]:
    """Add an entry; return the entries so far of the round that it is in."""
    _require(bool(index) != isinstance(entry, RunOpened), "it does not begin the ledger, or begins it anew")
    _require(history.closed is None, "it stands behind the end of the run")
    if isinstance(entry, _IN_ROUND):
        return _in_round(history, [*current, entry], index)
    _require(not current, f"it stands within round {len(history.rounds)}")
    if isinstance(entry, RunOpened | DataUseKey):
        _require(not history.rounds and not history.cosigned, "it stands behind the opening of the run")
        history.opening.append(entry)
    elif isinstance(entry, Cosigned):
        history.cosigned[index] = entry
    elif isinstance(entry, Rewound):
        _require(entry.round < len(history.rounds), "it goes back to a round that was not made yet")
        history.rewinds.append(entry.round)
        del history.rounds[entry.round :], history.ends[entry.round :]
    elif isinstance(entry, ModelFinal):
        history.closed = entry
    return []


def _in_round(history: History, current: list[Entry], index: int) -> list[Entry]:
    entry, number = current[-1], len(history.rounds)
    _require(getattr(entry, "round", None) == number, f"it is not of round {number}, which comes here")
    _require((len(current) == 1) == isinstance(entry, Broadcast), "a round begins with its broadcast, once")
    if isinstance(entry, RoundClosed):
        _require(len(current) > 1 and isinstance(current[-2], AggregateDigest), "a round closes without its aggregate")
        history.rounds.append(current)
        history.ends.append(index + 1)
        return []
    _require(
        len(current) == 1 or not isinstance(current[-2], AggregateDigest), "behind the aggregate a round only closes"
    )
    return current


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise LedgerError(otherwise)
