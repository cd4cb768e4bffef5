"""Entries: one way to write each of them, and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_sites import DIGEST, NAMES, ORIGIN, cosigned, tampered

from wardround.core.codec import canonical_json
from wardround.errors import LedgerError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.entries import (
    ACCEPTED,
    ENTRIES,
    FAILED,
    MAX_REASON_BYTES,
    REFUSED,
    VERDICTS,
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
    as_reason,
    read_entry,
)
from wardround.ledger.records import MAX_SITES, MAX_WHOLE

EXAMPLES: tuple[Entry, ...] = (
    RunOpened(DIGEST, DIGEST, {"wardround": "0.1.0", "torch": "2.13.0"}, {"north": DIGEST, "südwest": ""}, ""),
    DataUseKey("north", DIGEST),
    Broadcast(0, DIGEST),
    UpdateCommitment(3, "südwest", DIGEST, 123_456),
    Verdict(3, "north", ACCEPTED, 64, ""),
    Verdict(3, "north", ACCEPTED, 0.5, "its norm is twice the median, so its weight is halved"),
    Verdict(3, "south", FAILED, 0, "it did not answer within 600 s"),
    GroupSum(3, ("north", "südwest")),
    AggregateDigest(3, DIGEST),
    DataUse(3, "north", DIGEST, 10_015),
    PrivacyEvent(3, "", "Gaussian noise, multiplier 1.1, sampling rate 0.01", 1.25, 1e-5),
    PrivacyEvent(3, "north", "no noise", None, 0),
    RoundClosed(3, 2**40, 0),
    Cosigned(cosigned(Checkpoint(ORIGIN, 9, bytes.fromhex(DIGEST)), NAMES[:4])),
    Rewound(7),
    ModelFinal(DIGEST),
)

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
wholes = st.integers(0, MAX_WHOLE)
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)
numbers = st.one_of(st.floats(0, MAX_WHOLE), wholes)
STRATEGIES: dict[type[Entry], st.SearchStrategy[Entry]] = {
    RunOpened: st.builds(
        RunOpened,
        digests,
        digests,
        st.dictionaries(names, names, min_size=1, max_size=5),
        st.dictionaries(names, digests, min_size=1, max_size=5),
        st.just("") | names,
    ),
    DataUseKey: st.builds(DataUseKey, names, digests),
    Broadcast: st.builds(Broadcast, wholes, digests),
    UpdateCommitment: st.builds(UpdateCommitment, wholes, names, digests, wholes),
    Verdict: st.builds(Verdict, wholes, names, st.just(ACCEPTED), numbers, st.just("") | names)
    | st.builds(Verdict, wholes, names, st.sampled_from((REFUSED, FAILED)), st.just(0), names),
    GroupSum: st.builds(lambda r, s: GroupSum(r, tuple(sorted(s))), wholes, st.sets(names, min_size=2, max_size=5)),
    AggregateDigest: st.builds(AggregateDigest, wholes, digests),
    DataUse: st.builds(DataUse, wholes, names, digests, wholes),
    PrivacyEvent: st.builds(
        PrivacyEvent, wholes, st.just("") | names, names, st.none() | numbers, st.floats(0, 1) | st.integers(0, 1)
    ),
    RoundClosed: st.builds(RoundClosed, wholes, wholes, wholes),
    Cosigned: st.builds(
        lambda size, root, count: Cosigned(cosigned(Checkpoint(ORIGIN, size, root), NAMES[:count])),
        st.integers(1, 2**40),
        st.binary(min_size=32, max_size=32),
        st.integers(1, 3),
    ),
    Rewound: st.builds(Rewound, wholes),
    ModelFinal: st.builds(ModelFinal, digests),
}


def test_every_kind_has_a_class_an_example_and_a_strategy() -> None:
    assert set(ENTRIES.values()) == set(STRATEGIES) == {type(entry) for entry in EXAMPLES}
    assert len(ENTRIES) == 13


@given(st.one_of(*STRATEGIES.values()))
def test_what_was_written_is_read_and_written_again_alike(entry: Entry) -> None:
    data = entry.to_bytes()
    assert read_entry(data) == entry
    assert type(entry).from_bytes(data) == entry
    assert read_entry(data).to_bytes() == data
    assert data == canonical_json(json.loads(data))


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda entry: entry.kind)
def test_other_ways_to_write_the_same_are_refused(entry: Entry) -> None:
    data = entry.to_bytes()
    values = json.loads(data)
    others = [
        b" " + data,
        data + b"\n",
        json.dumps(values, sort_keys=True).encode(),
        json.dumps(values, separators=(",", ":")).encode(),  # in another order
        b'{"kind":"x",' + data[1:],
        data.replace(b'"version":1', b'"version":1.0'),
        data.replace(b'"version":1', b'"version":true'),
        data.replace(b'"version":1', b'"version":2'),
        data.replace(b'"kind"', b'"\\u006bind"'),
        canonical_json({**values, "more": 1}),
        canonical_json([values]),
        *(canonical_json({key: value for key, value in values.items() if key != gone}) for gone in values),
    ]
    for other in others:
        if other == data:
            continue
        with pytest.raises(LedgerError):
            read_entry(other)


def test_another_version_or_kind_is_named_as_that() -> None:
    data = ModelFinal(DIGEST).to_bytes()
    for other in (data.replace(b'"version":1', b'"version":2'), data.replace(b"model-final", b"model-first")):
        with pytest.raises(LedgerError, match="kind or version"):
            read_entry(other)
    with pytest.raises(LedgerError, match="kind or version"):
        Broadcast.from_bytes(data)


def test_a_whole_weight_is_written_without_a_point() -> None:
    assert Verdict(0, "north", ACCEPTED, 3.0, "").to_bytes() == Verdict(0, "north", ACCEPTED, 3, "").to_bytes()
    assert Verdict(0, "north", ACCEPTED, -0.0, "").to_bytes() == Verdict(0, "north", ACCEPTED, 0, "").to_bytes()
    data = Verdict(0, "north", ACCEPTED, 3, "").to_bytes()
    for other in (b"3.0", b"3e0", b"-3", b"NaN", b"Infinity", b"true", b'"3"', b"null", b"9007199254740992"):
        with pytest.raises(LedgerError):
            read_entry(data.replace(b'"weight":3', b'"weight":' + other))


ILLEGAL: list[tuple[type[Entry], dict[str, Any]]] = [
    (Broadcast, {"round": -1}),
    (Broadcast, {"round": True}),
    (Broadcast, {"round": 1.0}),
    (Broadcast, {"round": 2**53}),
    (Broadcast, {"digest": DIGEST[:-1]}),
    (Broadcast, {"digest": DIGEST.upper()}),
    (Broadcast, {"digest": DIGEST + "\n"}),
    (Broadcast, {"digest": b"x" * 32}),
    (DataUseKey, {"site": ""}),
    (DataUseKey, {"site": "a" * 129}),
    (DataUseKey, {"site": "ü" * 65}),
    (DataUseKey, {"site": "two\nlines"}),
    (DataUseKey, {"site": "\ud800"}),
    (DataUseKey, {"site": "\u202eright to left"}),
    (Verdict, {"verdict": "perhaps"}),
    (Verdict, {"verdict": ["accepted"]}),
    (Verdict, {"weight": float("nan")}),
    (Verdict, {"weight": float("inf")}),
    (Verdict, {"weight": -1}),
    (Verdict, {"weight": True}),
    (Verdict, {"reason": "x" * (MAX_REASON_BYTES + 1)}),
    (Verdict, {"verdict": REFUSED, "weight": 1, "reason": "too far out"}),
    (Verdict, {"verdict": FAILED, "weight": 0, "reason": ""}),
    (PrivacyEvent, {"event": ""}),
    (PrivacyEvent, {"epsilon": -0.1}),
    (PrivacyEvent, {"delta": 1.1}),
    (RunOpened, {"sites": {}}),
    (RunOpened, {"sites": {"a": "b"}}),
    (RunOpened, {"sites": {f"s{i}": "" for i in range(MAX_SITES + 1)}}),
    (RunOpened, {"sites": {1: ""}}),
    (RunOpened, {"versions": {"torch": 2}}),
    (RunOpened, {"versions": {f"v{i}": "1" for i in range(65)}}),
    (RunOpened, {"versions": {"x" * 65: "1"}}),
]


@pytest.mark.parametrize(("kind", "change"), ILLEGAL, ids=lambda value: getattr(value, "kind", None) or str(value)[:40])
def test_fields_are_bounded(kind: type[Entry], change: dict[str, Any]) -> None:
    legal = next(entry for entry in EXAMPLES if type(entry) is kind)
    with pytest.raises(LedgerError) as refusal:
        dataclasses.replace(legal, **change)
    assert kind.what in str(refusal.value)


def test_the_largest_entry_fits() -> None:
    sites = {f"{index:03}" + '"' * 125: DIGEST for index in range(255)}
    versions = {f"{index:02}" + '"' * 62: '"' * 128 for index in range(64)}
    entry = RunOpened(DIGEST, DIGEST, versions, sites, '"' * 256)
    assert read_entry(entry.to_bytes()) == entry


@given(st.text(max_size=2000) | st.text(st.characters(categories=("Cs", "Cc", "L")), max_size=600))
def test_any_sentence_can_be_made_a_reason(sentence: str) -> None:
    entry = Verdict(0, "north", FAILED, 0, as_reason(sentence))
    assert read_entry(entry.to_bytes()) == entry
    if sentence.isprintable() and 0 < len(sentence.strip().encode()) <= MAX_REASON_BYTES:
        assert entry.reason == sentence.strip()


def test_a_rounds_entries_of_one_site_are_small() -> None:
    """Of the 2 KiB that a site may cost in a round, its entries take a third, without its signature."""
    name = "n" * 32
    entries = [UpdateCommitment(999, name, DIGEST, 2**32), Verdict(999, name, ACCEPTED, 10_015, "")]
    entries.append(DataUse(999, name, DIGEST, 10_015))
    assert sum(len(entry.to_bytes()) for entry in entries) < 2048 / 3


def fuzz(count: int) -> int:
    """Read damaged entries; return how many were legal after all."""
    legal = 0
    for data in tampered([entry.to_bytes() for entry in EXAMPLES], count, seed=8):
        try:
            entry = read_entry(data)
        except LedgerError:
            continue
        assert entry.to_bytes() == data
        legal += 1
    return legal


def test_damaged_bytes_give_our_error_and_nothing_else() -> None:
    assert 0 < fuzz(10_000) < 5_000
    for odd in (None, 5, "text", bytearray(b"{}"), b"", b"[" * 100_000, b"9" * 100_000, b"\xff", b"x" * 2**18):
        with pytest.raises(LedgerError):
            read_entry(odd)  # type: ignore[arg-type]
    assert VERDICTS == (ACCEPTED, REFUSED, FAILED)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_entries() -> None:
    fuzz(100_000)


@pytest.mark.parametrize("sites", [(), ("north",), ("north", "north"), ("south", "north")])
def test_a_group_is_two_sites_or_more_in_their_order(sites: tuple[str, ...]) -> None:
    with pytest.raises(LedgerError, match="two sites or more, each once and in order"):
        GroupSum(0, sites)
