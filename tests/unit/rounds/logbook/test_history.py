"""A ledger's grammar: rounds in their order, each with its beginning and its end, and nothing anywhere else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.errors import LedgerError
from wardround.ledger.entries import (
    ACCEPTED,
    AggregateDigest,
    Broadcast,
    DataUse,
    DataUseKey,
    Entry,
    ModelFinal,
    Rewound,
    RoundClosed,
    RunOpened,
    UpdateCommitment,
    Verdict,
)
from wardround.rounds.logbook.history import History, read_history
from wardround.rounds.logbook.lines import lines_of, shown, verdict_in
from wardround.rounds.record import RoundRecord

DIGEST = "5" * 64
OPENED = RunOpened(DIGEST, DIGEST, {"wardround": "0"}, {"east": "", "west": ""}, "")
KEY = DataUseKey("east", DIGEST)
END = ModelFinal(DIGEST)


def record(index: int, accepted: Sequence[str] = ("east",), failed: Sequence[str] = ("west",)) -> RoundRecord:
    said = {"digest": DIGEST, "bytes": 9, "weight": 3.0, "use_root": DIGEST, "use_count": 2, "attempt": 1}
    return RoundRecord(
        index,
        tuple(sorted((*accepted, *failed))),
        dict.fromkeys(accepted, said),
        dict.fromkeys(failed, "it was\nlate"),
        (),
        {},
        1,
        2,
        {},
        DIGEST,
        started=DIGEST,
    )


def read(*entries: Entry) -> History:
    return read_history([entry.to_bytes() for entry in entries])


def rounds(*indices: int) -> list[Entry]:
    return [entry for index in indices for entry in lines_of(record(index))]


def test_a_round_becomes_entries_and_is_read_again() -> None:
    history = read(OPENED, KEY, *rounds(0, 1), END)
    assert history.rounds == [lines_of(record(0)), lines_of(record(1))]
    assert history.ends == [9, 16]
    assert (history.opening, history.closed) == ([OPENED, KEY], END)
    east, west = shown(history.rounds[0])["east"], shown(history.rounds[0])["west"]
    assert [type(entry) for entry in east] == [Broadcast, UpdateCommitment, Verdict, DataUse]
    assert [type(entry) for entry in west] == [Verdict]
    assert verdict_in(west) == Verdict(0, "west", "failed", 0, "it was late")
    assert verdict_in(east) == Verdict(0, "east", ACCEPTED, 3, "")
    assert verdict_in([]) is None


def test_a_round_that_was_made_anew_counts_in_its_last_form() -> None:
    anew = lines_of(record(1, accepted=("east", "west"), failed=()))
    history = read(OPENED, *rounds(0, 1, 2), Rewound(1), *anew)
    assert history.rounds == [lines_of(record(0)), anew]
    assert history.rewinds == [1]
    assert len(history.ends) == 2


ROUND = rounds(0)
ILLEGAL: dict[str, tuple[list[Entry], str]] = {
    "empty": ([], "the ledger is empty"),
    "no opening": (ROUND, "entry 0 .*does not begin the ledger"),
    "two openings": ([OPENED, OPENED], "entry 1 .*begins it anew"),
    "a key too late": ([OPENED, *ROUND, KEY], "entry 8 .*behind the opening"),
    "a round too early": ([OPENED, *rounds(1)], "entry 1 .*is not of round 0"),
    "a round twice": ([OPENED, *ROUND, *ROUND], "entry 8 .*is not of round 1"),
    "no broadcast": ([OPENED, *ROUND[1:]], "entry 1 .*begins with its broadcast"),
    "two broadcasts": ([OPENED, ROUND[0], ROUND[0]], "entry 2 .*begins with its broadcast"),
    "no aggregate": ([OPENED, *ROUND[:-2], ROUND[-1]], "closes without its aggregate"),
    "late verdict": ([OPENED, *ROUND[:-1], ROUND[2]], "a round only closes"),
    "two aggregates": ([OPENED, *ROUND[:-1], AggregateDigest(0, DIGEST)], "a round only closes"),
    "cut": ([OPENED, *ROUND[:-1]], "the ledger ends within round 0"),
    "another round inside": ([OPENED, *ROUND[:-1], RoundClosed(1, 0, 0)], "is not of round 0"),
    "end inside": ([OPENED, ROUND[0], END], "stands within round 0"),
    "behind the end": ([OPENED, END, Broadcast(0, DIGEST)], "behind the end"),
    "rewound beyond": ([OPENED, *ROUND, Rewound(1)], "a round that was not made yet"),
}


@pytest.mark.parametrize("what", ILLEGAL)
def test_entries_in_another_order_are_refused_by_name(what: str) -> None:
    entries, says = ILLEGAL[what]
    with pytest.raises(LedgerError, match=says):
        read(*entries)


@given(st.permutations(range(9)))
def test_no_other_order_of_two_sites_round_is_read_as_the_same(order: list[int]) -> None:
    entries: list[Entry] = [OPENED, KEY, *ROUND]
    written = sorted(entry.to_bytes() for entry in ROUND)
    try:
        history = read(*(entries[place] for place in order))
    except LedgerError:
        return
    assert order[0] == 0
    assert (order[1], order[2], order[-2:]) == (1, 2, [7, 8])
    assert sorted(entry.to_bytes() for entry in history.rounds[0]) == written


def test_bytes_that_are_no_entry_are_named_by_their_place() -> None:
    with pytest.raises(LedgerError, match="entry 1 of the ledger: an entry of the ledger is not JSON"):
        read_history([OPENED.to_bytes(), b"{"])
