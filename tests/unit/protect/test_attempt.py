"""What an attempt is bound to, who may be on a list of survivors, and thresholds."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from masked_round import NAMES, RUN, attempt_of

from wardround.errors import PlanError, SiteError, WireError
from wardround.protect.attempt import MAX_COHORT, Attempt, SurvivorList, default_threshold
from wardround.protect.octets import Reader

names = st.text(st.sampled_from("ab/\\|,;.0é"), min_size=1, max_size=4)
attempts = st.builds(
    Attempt,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 3) | st.integers(0, 2**32 - 1),
    st.integers(0, 3) | st.integers(0, 2**32 - 1),
    st.sets(names, min_size=2, max_size=5).map(lambda chosen: tuple(sorted(chosen))),
)


@given(attempts, attempts)
def test_another_attempt_has_another_binding(left: Attempt, right: Attempt) -> None:
    assert (left.binding() == right.binding()) == (left == right)


def test_every_part_changes_the_binding() -> None:
    attempt = attempt_of(3)
    others = [
        dataclasses.replace(attempt, run=RUN[::-1]),
        dataclasses.replace(attempt, round=4),
        dataclasses.replace(attempt, number=1),
        dataclasses.replace(attempt, round=0, number=3),
        dataclasses.replace(attempt, cohort=NAMES[:2]),
        dataclasses.replace(attempt, cohort=("alba", "brnocork")),
        dataclasses.replace(attempt, cohort=("alba", "brno", "cork2")),
    ]
    assert len({one.binding() for one in [attempt, *others]}) == len(others) + 1
    assert len(attempt.binding()) == 32


def test_the_binding_is_the_digest_of_its_parts_behind_their_lengths() -> None:
    # Written out by hand: sites of two versions would otherwise mask differently, so a change breaks the protocol.
    parts = [RUN, b"\0\0\0\3", b"\0\0\0\0", b"alba", b"brno", b"cork"]
    message = b"wardround/1/mask attempt\0" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert attempt_of(3).binding() == hashlib.sha256(message).digest()


@given(attempts)
def test_an_attempt_comes_back(attempt: Attempt) -> None:
    reader = Reader("an attempt", attempt.to_bytes(), 2**16)
    assert Attempt.read(reader) == attempt
    reader.end()


@pytest.mark.parametrize(
    "change",
    [
        {"run": bytes(31)},
        {"run": "x" * 32},
        {"round": -1},
        {"round": 2**32},
        {"round": True},
        {"round": 1.0},
        {"number": -1},
        {"number": "0"},
        {"cohort": ()},
        {"cohort": ("alba",)},
        {"cohort": ("alba", "alba")},
        {"cohort": ("brno", "alba")},
        {"cohort": ["alba", "brno"]},
        {"cohort": ("", "alba")},
        {"cohort": ("alba", 3)},
        {"cohort": ("alba", None)},
        {"cohort": ("a\nb", "c")},
        {"cohort": ("\ud800", "\ud801")},
        {"cohort": ("a", "b" * 129)},
        {"cohort": tuple(f"{index:03}" for index in range(MAX_COHORT + 1))},
    ],
)
def test_what_is_no_attempt_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        dataclasses.replace(attempt_of(3), **change)


def test_indices_follow_the_cohort() -> None:
    attempt = attempt_of(4)
    assert [attempt.index(site) for site in attempt.cohort] == [1, 2, 3, 4]
    assert attempt.peers("brno") == ("alba", "cork", "davos")
    with pytest.raises(SiteError, match="hull"):
        attempt.index("hull")


@pytest.mark.parametrize("survivors", [(), ("alba",), ("alba", "brno"), ("alba", "brno", "hull"),
                                       ("alba", "brno", "brno"), ("cork", "brno", "alba"), ["alba", "brno", "cork"],
                                       ("alba", "brno", 7), "alba"])  # fmt: skip
def test_a_list_of_other_than_enough_members_is_refused(survivors: Any) -> None:
    with pytest.raises(WireError):
        SurvivorList(attempt_of(4), 3, survivors)


@pytest.mark.parametrize("threshold", [0, 1, 2, 5, True, 3.0])
def test_a_threshold_that_two_halves_could_reach_is_refused(threshold: Any) -> None:
    with pytest.raises(WireError, match="threshold"):
        SurvivorList(attempt_of(4), threshold, NAMES[:4])


def test_what_is_signed_names_attempt_threshold_and_survivors() -> None:
    lists = [
        SurvivorList(attempt_of(4), 3, NAMES[:4]),
        SurvivorList(attempt_of(4), 4, NAMES[:4]),
        SurvivorList(attempt_of(4), 3, NAMES[:3]),
        SurvivorList(attempt_of(4), 3, NAMES[1:4]),
        SurvivorList(attempt_of(4, number=1), 3, NAMES[:4]),
    ]
    assert len({one.message() for one in lists}) == len(lists)
    assert lists[3].dropped == ("alba",)


@given(st.data())
def test_a_list_comes_back(data: st.DataObject) -> None:
    attempt = data.draw(attempts)
    threshold = data.draw(st.integers(len(attempt.cohort) // 2 + 1, len(attempt.cohort)))
    kept = data.draw(st.sets(st.sampled_from(attempt.cohort), min_size=threshold))
    listed = SurvivorList(attempt, threshold, tuple(sorted(kept)))
    reader = Reader("a list", listed.to_bytes(), 2**16)
    assert SurvivorList.read(reader) == listed
    reader.end()


def test_a_list_marked_otherwise_is_refused() -> None:
    data = SurvivorList(attempt_of(4), 3, NAMES[:4]).to_bytes()
    with pytest.raises(WireError, match="marks"):
        SurvivorList.read(Reader("a list", data[:-1] + b"\2", 2**16))


def test_thresholds_without_a_wish() -> None:
    assert [default_threshold(n) for n in (2, 3, 4, 5, 6, 7, 8, 100)] == [2, 2, 3, 4, 4, 4, 5, 51]


@given(st.integers(2, 255), st.integers(-3, 300))
def test_a_plan_may_ask_for_any_majority_and_nothing_else(num_sites: int, wish: int) -> None:
    if wish == 0:
        assert num_sites < 2 * default_threshold(num_sites) <= 2 * num_sites
    elif num_sites / 2 < wish <= num_sites:
        assert default_threshold(num_sites, wish) == wish
    else:
        with pytest.raises(PlanError, match="threshold"):
            default_threshold(num_sites, wish)


@pytest.mark.parametrize("num_sites", [0, 1, 256])
def test_masks_need_a_cohort(num_sites: int) -> None:
    with pytest.raises(PlanError, match="2 to 255"):
        default_threshold(num_sites)
