"""Who the sites are, as the coordinator learns it: from all of them, and only if they agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rigged
import tiny
from hostile import Ward, plan_of

from wardround.core.codec import Message
from wardround.errors import RunError, WireError
from wardround.protect.identity import Identity
from wardround.rounds.keyring import frame_claim
from wardround.rounds.roster import Roster, introduce
from wardround.rounds.wire import tensor_of

EAST, NORTH, WEST = tiny.NAMES


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return Ward(plan_of("masked"), tmp_path_factory.mktemp("ward"))


def asked(
    of: Ward, known: str = "", tamper: rigged.Tamper = rigged.honest, **left_out: Any
) -> tuple[Roster, list[str]]:
    """Introduce the sites to each other; return what the coordinator learned, and which calls it took."""
    fabric = rigged.Tampering(of.fabric(), tamper)
    identities = {site: key.to_bytes() for site, key in of.roster.identities.items() if site not in left_out}
    roster = introduce(fabric, known, identities, None)
    return roster, [op for op, _, _ in fabric.asked]


def test_sites_that_agreed_before_are_not_asked_again(ward: Ward) -> None:
    roster, ops = asked(ward, ward.roster.run.hex())
    assert ops == ["run"]
    assert roster == ward.roster


def test_everything_else_is_a_new_run(ward: Ward) -> None:
    every = ["run", "hello", "meet", "bind", "confirm"]
    old = ward.roster.run.hex()
    for known, left_out in (("", {}), ("00" * 32, {}), (old, {NORTH: True})):
        roster, ops = asked(ward, known, **left_out)
        assert ops == every
        assert roster.run.hex() != old
        assert roster.identities == ward.roster.identities
        assert {ward.call(site, "run", Message()).fields["run"] for site in ward.names} == {roster.run.hex()}
        old = roster.run.hex()
    assert asked(ward, old)[1] == ["run"]


def test_one_site_that_lost_its_keys_is_enough(tmp_path: Path) -> None:
    made = Ward(plan_of("masked"), tmp_path)
    (made.vault_of(WEST).folder / "run-keys.sealed").unlink()
    made.restart(WEST)
    roster, ops = asked(made, made.roster.run.hex())
    assert ops[1:] == ["hello", "meet", "bind", "confirm"]
    assert roster.run != made.roster.run


@pytest.mark.parametrize("op", ["run", "hello", "meet", "bind", "confirm"])
def test_a_site_that_is_lost_ends_it_by_name(ward: Ward, op: str) -> None:
    def tamper(asked_for: str, site: str, answer: Message) -> Message | str:
        return "the power failed" if (asked_for, site) == (op, NORTH) else answer

    with pytest.raises(RunError, match="site north could not agree on keys: the power failed"):
        asked(ward, tamper=tamper)


@pytest.mark.parametrize(
    ("op", "answer", "sentence"),
    [
        ("hello", Message(), "site north could not agree on keys: the message carries no bytes called 'hello'"),
        ("hello", Message({}, {"hello": tensor_of(b"hi")}), "could not agree on keys"),
        ("meet", Message(), "the introduction from north did not arrive"),
        ("bind", Message(), "the confirmation from north did not arrive"),
        ("confirm", Message({"run": "00" * 32}), "agreed on keys of different runs"),
        ("confirm", Message({"run": []}), "agreed on keys of different runs"),
    ],
)
def test_answers_that_are_none(ward: Ward, op: str, answer: Message, sentence: str) -> None:
    def tamper(asked_for: str, site: str, honest: Message) -> Message:
        return answer if (asked_for, site) == (op, NORTH) else honest

    with pytest.raises(RunError, match=sentence):
        asked(ward, tamper=tamper)


class TestSignatures:
    def test_a_frame_is_good_for_its_place_and_site_alone(self) -> None:
        east, west = Identity.new(), Identity.new()
        roster = Roster(bytes(32), {EAST: east.public, WEST: west.public})
        place: dict[str, Any] = {"site": EAST, "round_index": 2, "attempt": 1, "part": 3}
        frame = b"frame"

        def check(frame: bytes = frame, by: Identity = east, run: bytes = bytes(32), **other: Any) -> None:
            signed = {**place, "run": run}
            claim = frame_claim(
                signed["run"], signed["round_index"], signed["attempt"], signed["part"], signed["site"], b"frame"
            )
            message = Message({}, {"signature": tensor_of(by.sign(claim))})
            roster.check_frame(**{**place, **other}, frame=frame, message=message)

        check()
        for wrong in (
            {"frame": b"fram"},
            {"by": west},
            {"run": bytes(31) + b"\1"},
            {"site": WEST},
            {"site": "nowhere"},
            {"round_index": 3},
            {"attempt": 2},
            {"part": 0},
        ):
            with pytest.raises(WireError, match="does not carry the signature of site"):
                check(**wrong)  # type: ignore[arg-type]
        with pytest.raises(WireError, match="carries no bytes called 'signature'"):
            roster.check_frame(**place, frame=frame, message=Message())

    def test_a_list(self) -> None:
        east = Identity.new()
        roster = Roster(bytes(32), {EAST: east.public})
        roster.check_list(EAST, b"claim", east.sign(b"claim"))
        for site, claim, signature in (
            (EAST, b"claims", east.sign(b"claim")),
            (WEST, b"claim", east.sign(b"claim")),
            (EAST, b"claim", b""),
            (EAST, b"claim", Identity.new().sign(b"claim")),
        ):
            with pytest.raises(WireError, match=f"site {site} did not sign the list of survivors"):
                roster.check_list(site, claim, signature)
