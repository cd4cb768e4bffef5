"""A coordinator that cheats with the ledger: what it shows each site is its choice, and every site sees through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rigged
import tiny
from rigged import Memory

from wardround.core.codec import Message
from wardround.fabric.base import Answer, Body
from wardround.ledger.checkpoint import Checkpoint, run_origin
from wardround.ledger.cosign import Offer
from wardround.ledger.entries import ModelFinal, RunOpened, Verdict, read_entry
from wardround.ledger.gossip import Fork
from wardround.ledger.log import Log
from wardround.ledger.note_keys import ED25519, Key
from wardround.ledger.notes import Note
from wardround.rounds.coordinator import Coordinator, RunResult
from wardround.rounds.logbook import cosigning
from wardround.rounds.logbook.keeper import Keeper
from wardround.rounds.plan import Plan
from wardround.rounds.wire import tensor_of
from wardround.study.simulation import simulated

EAST, NORTH, WEST = tiny.NAMES
Bend = Callable[[str, str, Message], Message]
"""``(op, site, what an honest coordinator would say) -> what this one says``."""


class Bending(rigged.Tampering):
    """A fabric through which the coordinator says something else than an honest one."""

    def __init__(self, inner: Any, bend: Bend) -> None:
        super().__init__(inner, rigged.honest)
        self.bend = bend

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        told: Mapping[str, Message] = dict.fromkeys(sites, body) if isinstance(body, Message) else body
        bent = {site: self.bend(op, site, told[site]) for site in sites}
        yield from super().gather(sites, op, bent, timeout_s)


def plan_of(pipeline: str = "plain", **changes: Any) -> Plan:
    protect = [] if pipeline == "plain" else tiny.PIPELINES[pipeline]
    return tiny.plan(**{"rounds": 3, "protect": protect, "ledger": {"cosign": "sites"}, **changes})


def played(plan: Plan, folder: Path, bend: Bend) -> tuple[RunResult, Memory, list[str]]:
    """Run a plan with a coordinator that bends what it says; return also what it had to write down of it."""
    journal = Memory()
    result = Coordinator(plan, Bending(tiny.fabric(plan, folder), bend), journal).run()
    return result, journal, [*(e for record in journal.records for e in record.events), *result.ledger.events]


def straight(op: str, site: str, body: Message) -> Message:
    return body


def at(turn: int, change: Callable[[Message], Message], who: str = NORTH) -> Bend:
    """Return what bends the checkpoint of one turn for one site: 0 opens, 1 ends round 0."""

    def bend(op: str, site: str, body: Message) -> Message:
        return change(body) if op == "cosign" and site == who and body.fields["turn"] == turn else body

    return bend


def showing(change: Callable[[Any], Any]) -> Callable[[Message], Message]:
    def changed(body: Message) -> Message:
        entry = change(read_entry(body.tensors["shown"].tobytes()))
        return Message(body.fields, {**body.tensors, "shown": tensor_of(entry.to_bytes())})

    return changed


def offering(change: Callable[[Offer], Offer]) -> Callable[[Message], Message]:
    def changed(body: Message) -> Message:
        offer = change(Offer.from_bytes(body.tensors["offer"].tobytes()))
        return Message(body.fields, {**body.tensors, "offer": tensor_of(offer.to_bytes())})

    return changed


def without(*names: str) -> Callable[[Message], Message]:
    return lambda body: Message(body.fields, {name: v for name, v in body.tensors.items() if name not in names})


PIPELINES = ("plain", "masked", "packed", "packed and masked")


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_control_every_site_signs_and_confirms(tmp_path: Path, pipeline: str) -> None:
    result, journal, events = played(plan_of(pipeline), tmp_path, straight)
    assert events == []
    assert (result.ledger.cosigned, result.ledger.confirmed) == (tiny.NAMES, tiny.NAMES)
    assert result.ledger.final
    for record in journal.records:
        for said in record.accepted.values():
            assert len(said["use_root"]) == 64
            assert said["use_count"] >= 8


LIES: dict[str, tuple[Bend, str]] = {
    "weight": (at(1, showing(lambda shown: replace(shown, weight=63))), "is logged with weight 63 in round 0, and has"),
    "another verdict": (
        at(1, showing(lambda shown: Verdict(0, NORTH, "failed", 0, "it was late"))),
        "is shown 4 of its own 1 entries",
    ),
    "no verdict": (at(1, without("shown")), "sent an update in round 0, and is shown no verdict"),
    "another's verdict": (at(1, showing(lambda shown: replace(shown, site=EAST))), "as its verdict of round 0"),
    "another round": (at(2, showing(lambda shown: replace(shown, round=0))), "as its verdict of round 1"),
    "no places": (at(1, offering(lambda offer: replace(offer, places=()))), "is shown 0 of its own 4 entries"),
    "another attempt": (
        at(1, lambda body: Message({**body.fields, "attempt": 7}, body.tensors)),
        "is said to have sent an update in round 0: it did not",
    ),
    "another plan": (at(0, showing(lambda shown: replace(shown, plan="5" * 64))), "of another run, or of another plan"),
    "other keys": (
        at(0, showing(lambda shown: replace(shown, sites={**shown.sites, EAST: "5" * 64}))),
        "knows this run's sites or its log by other keys",
    ),
    "another beginning": (at(0, showing(lambda shown: ModelFinal("5" * 64))), "of another run, or of another plan"),
    "no end": (at(4, showing(lambda shown: RunOpened("5" * 64, "5" * 64, {"a": "b"}, {"a": ""}, ""))), "is not shown"),
    "no coordinator": (at(1, offering(lambda offer: replace(offer, signature=None))), "signature is missing"),
    "no history": (at(2, offering(lambda offer: replace(offer, consistency=()))), "did not co-sign"),
    "no last checkpoint": (at(2, without("previous")), "carries no bytes called 'previous'"),
    "no box": (at(2, without(f"box/{EAST}")), f"that '{EAST}' signed did not come from '{EAST}' itself"),
    "another's box": (
        at(2, lambda b: Message(b.fields, {**b.tensors, f"box/{EAST}": b.tensors[f"box/{WEST}"]})),
        "does not open",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_site_that_is_shown_something_else_does_not_sign(tmp_path: Path, lie: str) -> None:
    bend, says = LIES[lie]
    _, journal, events = played(plan_of(), tmp_path, bend)
    told = [event for event in events if f"site {NORTH} did not co-sign" in event]
    assert any(says in event for event in told), events
    assert not any(f"site {other} did not" in event for event in events for other in (EAST, WEST))
    assert len(journal.records) == 3  # the run goes on, and the checkpoint lacks a name


def test_where_updates_are_masked_a_wrong_weight_is_seen_too(tmp_path: Path) -> None:
    bend, says = LIES["weight"]
    _, _, events = played(plan_of("packed and masked"), tmp_path, bend)
    assert any(says in event for event in events)


def test_a_blind_coordinator_cannot_log_another_state_than_the_sites_hold(tmp_path: Path) -> None:
    """Where the coordinator holds the state, only it knows: there no site is asked."""
    bend = at(1, lambda body: Message({**body.fields, "state": "5" * 64}, body.tensors))
    _, _, events = played(plan_of("packed and masked"), tmp_path / "blind", bend)
    assert any("holds another state after round 0 than is logged" in event for event in events if NORTH in event)
    _, _, events = played(plan_of("masked"), tmp_path / "open", bend)
    assert events == []


def test_an_older_checkpoint_shown_again_is_refused(tmp_path: Path) -> None:
    """A coordinator that hides what peers signed since would have to show what they signed before."""
    seen: dict[tuple[str, int], Message] = {}

    def bend(op: str, site: str, body: Message) -> Message:
        if op != "cosign":
            return body
        seen[site, body.fields["turn"]] = body
        if site != NORTH or body.fields["turn"] != 3:
            return body
        old = {k: v for k, v in seen[site, 2].tensors.items() if k in ("previous", "since") or k.startswith("box/")}
        return Message(body.fields, {**body.tensors, **old})

    _, _, events = played(plan_of(), tmp_path, bend)
    assert any("as the last co-signed" in event for event in events if NORTH in event)


def test_a_log_of_another_key_is_not_signed_after_a_restart(tmp_path: Path) -> None:
    plan, journal = plan_of(), Memory()
    cut = Bending(tiny.fabric(plan, tmp_path), ends_in_round(2))
    with pytest.raises(Ended):
        Coordinator(plan, cut, journal).run()
    journal.seed = bytes(32)
    with pytest.raises(Exception, match="the key of this run's ledger is missing"):
        Coordinator(plan, tiny.fabric(plan, tmp_path), journal).run()


class Ended(Exception):
    """The coordinator was stopped."""


def ends_in_round(round_index: int) -> Bend:
    def bend(op: str, site: str, body: Message) -> Message:
        if op == "train" and body.fields["round"] == round_index:
            raise Ended
        return body

    return bend


def test_two_histories_are_caught_when_the_halves_hear_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After round 0 the coordinator tells west another story, with proofs, signatures and all; then it goes on."""
    plan = plan_of()
    forked: dict[str, Any] = {}
    honest_sign = cosigning.Cosigning.sign

    def two_stories(self: Any, turn: Any, note: Note, last: Note | None) -> Any:
        if turn.round != 0:
            return honest_sign(self, turn, note, last)
        keeper: Keeper = forked["keeper"]
        sizes, boxes = dict(self._sizes), dict(self._boxes)
        self._sizes = {site: size for site, size in sizes.items() if site != WEST}
        signed = honest_sign(self, turn, note, last)
        ours = dict(self._boxes), dict(self._sizes)
        self._sizes, self._boxes, other = {WEST: sizes[WEST]}, boxes, Note(note.text, note.signatures)
        other = other_story(self, keeper, turn)
        signed_by_west = honest_sign(self, turn, other, last)
        forked["west"] = other.signed(signed_by_west)
        self._boxes |= ours[0]
        self._sizes |= ours[1]
        self._log = forked["log"]
        return signed

    def other_story(self: Any, keeper: Any, turn: Any) -> Note:
        forked["log"] = self._log
        signed = Checkpoint.from_text(keeper._note.text).size
        since = [entry for entry in self._log.entries(signed) if b'"site":"east"' not in entry]
        entries = [*self._log.entries(0, signed), *since]
        self._log = Log(tmp_path / "other-story")
        self._log.append([*entries, *(forked["filler"] for _ in range(forked["log"].size - len(entries)))])
        checkpoint = Checkpoint(run_origin(keeper._run), self._log.size, self._log.root())
        return Note(checkpoint.text, (keeper._signer.key.sign(checkpoint.text, keeper._signer.sign),))

    original = Keeper.__init__

    def noted(self: Keeper, *args: Any) -> None:
        original(self, *args)
        forked["keeper"] = self
        forked["filler"] = ModelFinal("5" * 64).to_bytes()

    monkeypatch.setattr(Keeper, "__init__", noted)
    monkeypatch.setattr(cosigning.Cosigning, "sign", two_stories)
    result, _, events = played(plan, tmp_path / "sites", straight)
    assert "west" in forked  # west did sign the other story: it goes on from what it knew, and tells of its update
    assert forked["west"].text != forked["keeper"]._note.text
    caught = [event for event in events if "two histories" in event or "signs nothing more" in event]
    assert any(f"site {WEST} did not co-sign" in event for event in caught), events
    assert result.ledger.cosigned == (EAST, NORTH)
    assert not result.ledger.final
    vault = simulated(tmp_path / "sites", tiny.NAMES, WEST).vault
    (kept,) = [name for name in vault.names() if name.startswith("ledger-fork-")]
    fork = Fork.from_bytes(vault.read(kept))
    assert fork.is_proved
    assert fork.accused(forked["keeper"]._cosigning.witnesses) == ("the coordinator",)


def test_no_two_of_three_sites_make_a_story_final(tmp_path: Path) -> None:
    """What a fork needs: quorums of three sites are all of them."""

    def bend(op: str, site: str, body: Message) -> Message:
        return without("offer")(body) if op == "cosign" and site == WEST else body

    result, _, events = played(plan_of(), tmp_path, bend)
    assert result.ledger.cosigned == (EAST, NORTH)
    assert not result.ledger.final
    assert any("not final: west did not co-sign" in event for event in events)


def test_a_site_signs_no_log_of_a_run_that_it_did_not_agree_to(tmp_path: Path) -> None:
    other = Key("wardround/" + "5" * 64, ED25519, bytes(range(32)))

    def bend(op: str, site: str, body: Message) -> Message:
        if op == "witness" and site == NORTH:
            return Message({"run": "5" * 64, "log_key": other.to_text()})
        return body

    result, _, events = played(plan_of(rounds=1), tmp_path, bend)
    assert any("agreed on the keys of another run" in event for event in events)
    assert result.ledger.cosigned == (EAST, WEST)
