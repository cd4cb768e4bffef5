"""One round's sum at the coordinator: attempts, and what a coordinator that was stopped finds when it comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import rigged
import tiny
from hostile import Ward, plan_of
from rigged import Memory, Tamper

from wardround.core.codec import Message
from wardround.errors import QuorumLost
from wardround.fabric.base import Answer, Body
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.frames import MOST_ATTEMPTS, Offered, SitesLost, Summation
from wardround.rounds.plan import Plan

EAST, NORTH, WEST = tiny.NAMES
MASKED = ("masked", "packed and masked")
LOST = "the power failed"


class Killed(Exception):
    """Stands for SIGKILL."""


def at_round(wanted: int, tamper: Tamper) -> Tamper:
    """Return a tamper that leaves other rounds alone."""
    current = {"round": -1}

    def only(op: str, site: str, answer: Message) -> Message | str | bytes:
        if op == "train":
            current["round"] = answer.fields["round"]
        return tamper(op, site, answer) if current["round"] == wanted else answer

    return only


def losing(lost_in: str, site: str, killed_in: str, answers: int) -> Tamper:
    """Lose a site's first answer to one call; then end, as if killed, at so many answers to another."""
    seen: dict[str, int] = {}

    def tamper(op: str, of: str, answer: Message) -> Message | str:
        seen[op] = seen.get(op, 0) + 1
        if (op, of) == (lost_in, site) and seen[op] <= len(tiny.NAMES):
            return LOST
        # What was asked in the attempt that was abandoned does not count.
        before = len(tiny.NAMES) if lost_in == "agree" and killed_in == "agree" else 0
        if op == killed_in and seen[op] - before == answers:
            raise Killed
        return answer

    return at_round(1, tamper)


def run(plan: Plan, folder: Path, tamper: Tamper, journal: Memory) -> rigged.Tampering:
    fabric = rigged.Tampering(tiny.fabric(plan, folder), tamper)
    Coordinator(plan, fabric, journal).run()
    return fabric


def digests(journal: Memory) -> list[str]:
    return [record.state_digest for record in journal.records]


class TestStoppedInBetween:
    """The sites signed for a sum, and some opened it; west, which was lost, is back when the coordinator is."""

    def without_west(self, folder: Path) -> list[str]:
        journal = Memory()
        lost = at_round(1, lambda op, site, answer: LOST if (op, site) == ("upload", WEST) else answer)
        run(plan_of("quantised", rounds=3), folder / "rest", lost, journal)
        return digests(journal)

    @pytest.mark.parametrize("pipeline", MASKED)
    @pytest.mark.parametrize(
        ("lost_in", "killed_in", "answers"),
        [
            ("upload", "agree", 2),
            ("upload", "reveal", 1),
            ("upload", "reveal", 2),
            ("agree", "reveal", 2),
            ("offer", "reveal", 2),
            ("upload", "unseal", 2),
            ("agree", "unseal", 1),
            ("agree", "step", 1),
        ],
    )
    def test_the_same_sum_is_formed_again(
        self, tmp_path: Path, pipeline: str, lost_in: str, killed_in: str, answers: int
    ) -> None:
        if killed_in in ("unseal", "step") and pipeline == "masked":
            pytest.skip("the coordinator opens this sum")
        plan, journal = plan_of(pipeline, rounds=3), Memory()
        with pytest.raises(Killed):
            run(plan, tmp_path, losing(lost_in, WEST, killed_in, answers), journal)
        assert len(journal.records) == 1
        run(plan, tmp_path, rigged.honest, journal)
        assert digests(journal) == self.without_west(tmp_path)
        assert set(journal.records[1].failed) == {WEST}
        assert "signed for the sum without it before" in journal.records[1].failed[WEST]
        assert set(journal.records[2].accepted) == set(tiny.NAMES)

    @pytest.mark.parametrize("pipeline", MASKED)
    def test_what_only_one_site_signed_binds_nobody(self, tmp_path: Path, pipeline: str) -> None:
        """East signed for itself and north, which did not; east is left out of the next attempt, not the round lost."""
        plan, journal = plan_of(pipeline, rounds=2), Memory()
        with pytest.raises(Killed):
            run(plan, tmp_path, losing("upload", WEST, "agree", 1), journal)
        run(plan, tmp_path, rigged.honest, journal)
        assert len(journal.records) == 2
        assert len(journal.records[1].accepted) >= 2

    @pytest.mark.parametrize("pipeline", MASKED)
    def test_a_round_of_fewer_sites_has_the_weights_it_had(self, tmp_path: Path, pipeline: str) -> None:
        """West is away for good: what the others signed for before binds them to their weights."""
        plan, journal = plan_of(pipeline, rounds=2), Memory()
        with pytest.raises(Killed):
            run(plan, tmp_path, losing("train", "", "agree", 3), journal)
        gone = at_round(1, lambda op, site, answer: LOST if site == WEST and op in ("train", "offer") else answer)
        run(plan, tmp_path, gone, journal)
        assert set(journal.records[1].accepted) == {EAST, NORTH}
        weights = {
            record.round: {s: said["weight"] for s, said in record.accepted.items()} for record in journal.records
        }
        assert weights[1] == {site: weights[0][site] for site in (EAST, NORTH)}


class TestBoundTo:
    """Which list a coordinator takes up again: what most of its sites claim, and none of them denies."""

    @pytest.mark.parametrize(
        ("claims", "bound_to"),
        [
            ({}, ()),
            ({EAST: (EAST, NORTH), NORTH: (EAST, NORTH)}, (EAST, NORTH)),
            ({EAST: (EAST, NORTH)}, ()),
            ({EAST: (EAST, NORTH, WEST), NORTH: (EAST, NORTH, WEST)}, (EAST, NORTH, WEST)),
            ({EAST: (EAST, NORTH), NORTH: (NORTH, WEST)}, ()),
            ({EAST: (EAST, NORTH, WEST), NORTH: (EAST, NORTH, WEST), WEST: (NORTH, WEST)}, ()),
            ({EAST: (EAST, NORTH), NORTH: (EAST, NORTH), WEST: (NORTH, WEST)}, (EAST, NORTH)),
            ({WEST: (EAST, NORTH)}, ()),
            ({WEST: (WEST,)}, (WEST,)),
        ],
    )
    def test_claims(self, claims: dict[str, tuple[str, ...]], bound_to: tuple[str, ...]) -> None:
        assert Offered(listed=claims).bound_to == bound_to


class Scripted:
    """A fabric whose answers to offers are made up."""

    def __init__(self, answers: Any) -> None:
        self.answers, self.asked = answers, list[dict[str, Any]]()

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        assert op == "offer"
        assert isinstance(body, Message)
        self.asked.append(dict(body.fields))
        for site in sites:
            said = self.answers(site, len(self.asked))
            yield Answer(site, failure=said) if isinstance(said, str) else Answer(site, said)


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    made = Ward(plan_of("masked"), tmp_path)
    made.train(0)
    return made


def summation(of: Ward, fabric: Any) -> Summation:
    return Summation(of.plan, fabric, of.scheme, of.roster, 4458, 0, of.weights, None)


class TestAttempts:
    def test_sites_are_lost_until_too_few_are_left(self, ward: Ward) -> None:
        fabric = Scripted(lambda site, count: LOST if site == WEST or count > 1 else Message({"listed": []}))
        with pytest.raises(QuorumLost) as lost:
            summation(ward, fabric).group(ward.names, 2)
        assert "round 0 is left with 0 of the 2 sites that its sum needs" in str(lost.value)
        assert f"west: {LOST}" in str(lost.value)
        assert [asked["cohort"] for asked in fabric.asked] == [[EAST, NORTH, WEST]]

    def test_attempts_come_to_an_end(self, ward: Ward) -> None:
        """Everybody claims to be further on, time and again."""
        fabric = Scripted(lambda site, count: Message({"past": min(count, MOST_ATTEMPTS), "listed": []}))
        with pytest.raises(QuorumLost, match="claims to be in a later attempt"):
            summation(ward, fabric).group(ward.names, 2)
        assert len(fabric.asked) <= 2 * MOST_ATTEMPTS

    def test_lists_that_lead_in_circles_come_to_an_end(self, ward: Ward) -> None:
        pair = {EAST: [EAST, NORTH], NORTH: [EAST, NORTH], WEST: []}
        fabric = Scripted(lambda site, count: Message({"past": min(count, MOST_ATTEMPTS), "listed": pair[site]}))
        with pytest.raises(QuorumLost):
            summation(ward, fabric).group(ward.names, 2)
        assert len(fabric.asked) <= 2 * MOST_ATTEMPTS

    def test_the_sum_is_that_of_the_updates(self, ward: Ward) -> None:
        found = summation(ward, ward.fabric()).group(ward.names, 2)
        assert found.sites == ward.names
        assert found.weight == sum(ward.weights.values())
        total = sum(ward.weights[site] * ward.values(site) for site in ward.names)
        assert (ward.read(found.parts[0], found.weight) == total).all()
        assert len(list(found.frames())) == 1

    def test_every_attempt_says_who_was_lost_and_why(self) -> None:
        assert str(SitesLost({EAST: "away", WEST: LOST})) == f"east: away; west: {LOST}"
