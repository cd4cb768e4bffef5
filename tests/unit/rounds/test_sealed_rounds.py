"""Rounds whose updates are summed unread: sites may be lost at any step, and what is left is exact or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import rigged
import tiny
from rigged import Memory, Tamper

from wardround.core.codec import Message
from wardround.errors import QuorumLost
from wardround.fabric.base import Handler
from wardround.fabric.local import LocalFabric
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.notes import Note
from wardround.protect import scheme
from wardround.rounds.digests import digest_of
from wardround.rounds.logbook.history import read_history
from wardround.rounds.logbook.lines import lines_of
from wardround.study.simulation import introduce_sites
from wardround.study.spec import to_json

FRAMES = ("quantised", "masked", "packed", "packed and masked")
LOST = "the power failed"


def plan(pipeline: str, **changes: Any) -> Any:
    return tiny.plan(rounds=3, protect=tiny.PIPELINES[pipeline], **changes)


def losing(op: str, *sites: str, at_round: int = 1, every: bool = False) -> Tamper:
    """Return a tamper that loses the answers of `sites` to `op` in one round: the first time it is asked, or always."""
    seen: set[str] = set()
    current = {"round": -1}

    def tamper(asked: str, site: str, answer: Message) -> Message | str:
        if asked == "train":
            current["round"] = answer.fields["round"]
        if asked == op and site in sites and current["round"] == at_round and (every or site not in seen):
            seen.add(site)
            return LOST
        return answer

    return tamper


def digests(journal: Memory) -> list[str]:
    return [record.state_digest for record in journal.records]


def run(pipeline: str, folder: Path, tamper: Tamper = rigged.honest) -> tuple[Memory, rigged.Tampering]:
    _, journal, fabric = rigged.run(plan(pipeline), folder / pipeline.replace(" ", "-"), tamper)
    return journal, fabric


@pytest.mark.parametrize("pipeline", FRAMES[1:])
@pytest.mark.parametrize(("op", "needs"), [("upload", ""), ("agree", "masked"), ("offer", "masked")])
def test_a_site_lost_before_its_update_is_summed_leaves_the_exact_sum_of_the_rest(
    tmp_path: Path, pipeline: str, op: str, needs: str
) -> None:
    if needs not in pipeline:
        pytest.skip(f"{pipeline} updates need no {op}")
    rest, _ = run("quantised", tmp_path, losing("upload", "north"))
    journal, _ = run(pipeline, tmp_path, losing(op, "north"))
    assert digests(journal) == digests(rest)
    assert [sorted(record.accepted) for record in journal.records] == [
        ["east", "north", "west"],
        ["east", "west"],
        ["east", "north", "west"],
    ]
    assert LOST in journal.records[1].failed["north"]


@pytest.mark.parametrize("pipeline", FRAMES)
def test_a_site_whose_frame_is_not_legal_fails_alone(tmp_path: Path, pipeline: str) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message:
        if op == "upload" and site == "north":
            frame = answer.tensors["frame"][:-1]
            return Message(answer.fields, {**answer.tensors, "frame": frame})
        return answer

    rest, _ = run("quantised", tmp_path, losing("upload", "north", at_round=0, every=True))
    journal, _ = run(pipeline, tmp_path / "bad", tamper)
    assert digests(journal)[0] == digests(rest)[0]
    assert set(journal.records[0].failed) == {"north"}


@pytest.mark.parametrize("pipeline", ["masked", "packed and masked"])
def test_a_site_lost_after_every_survivor_signed_is_in_the_sum(tmp_path: Path, pipeline: str) -> None:
    whole, _ = run("quantised", tmp_path)
    journal, _ = run(pipeline, tmp_path, losing("reveal", "north"))
    assert digests(journal) == digests(whole)
    assert any("north revealed nothing" in event for event in journal.records[1].events)


@pytest.mark.parametrize("pipeline", ["packed", "packed and masked"])
@pytest.mark.parametrize("op", ["unseal", "step"])
def test_a_site_that_misses_the_opening_takes_the_state_over_from_another(
    tmp_path: Path, pipeline: str, op: str
) -> None:
    whole, _ = run("quantised", tmp_path)
    journal, fabric = run(pipeline, tmp_path, losing(op, "north"))
    assert digests(journal) == digests(whole)
    if op == "step":
        assert any("north took over the state after round 1" in event for event in journal.records[1].events)
        assert ("adopt", ("north",)) in {(asked, sites) for asked, sites, _ in fabric.asked}


@pytest.mark.parametrize("pipeline", ["masked", "packed and masked"])
@pytest.mark.parametrize("op", ["offer", "upload", "agree"])
def test_below_the_threshold_nothing_opens(tmp_path: Path, pipeline: str, op: str) -> None:
    journal = Memory()
    fabric = rigged.Tampering(
        tiny.fabric(plan(pipeline), tmp_path), losing(op, "north", "west", at_round=0, every=True)
    )
    with pytest.raises(QuorumLost, match=r"the power failed|threshold"):
        rigged.Coordinator(plan(pipeline), fabric, journal).run()
    asked = [name for name, _, _ in fabric.asked]
    assert op in asked
    assert not {"reveal", "unseal", "step"} & set(asked)
    assert journal.records == []


@pytest.mark.parametrize("every_third", [0, 1, 2])
@pytest.mark.parametrize("pipeline", FRAMES)
def test_a_coordinator_that_ends_in_any_call_resumes_to_the_same_state_with_the_same_frames(
    tmp_path: Path, pipeline: str, every_third: int
) -> None:
    whole, undisturbed = run(pipeline, tmp_path)
    ops = list(dict.fromkeys(op for op, _, _ in undisturbed.asked if op not in ("open", "evaluate")))
    for op in ops[every_third::3]:
        folder, journal = tmp_path / f"ends-in-{op}", Memory()
        first = tiny.fabric(plan(pipeline), folder)
        ending = rigged.Tampering(first, ends_in(op))
        with pytest.raises(Killed):
            rigged.Coordinator(plan(pipeline), ending, journal).run()
        again = rigged.Tampering(tiny.fabric(plan(pipeline), folder), rigged.honest)
        rigged.Coordinator(plan(pipeline), again, journal).run()
        assert digests(journal) == digests(whole), op
        assert_proved(journal, plan(pipeline))
        repeated = sent(ending.wire) & sent(again.wire)
        if op in ("agree", "reveal", "unseal", "step"):
            assert len(repeated) >= len(tiny.NAMES), op


def assert_proved(journal: Memory, of: Any) -> None:
    """The ledger tells of every round once, every checkpoint in it is of its beginning, and all signed the last."""
    with journal.ledger() as log:
        history = read_history(log.entries())
        assert [lines_of(record) for record in journal.records] == history.rounds
        assert (len(history.rounds), history.rewinds) == (of.rounds, [])
        notes = [*(entry.note for entry in history.cosigned.values()), Note.from_bytes(journal.note or b"")]
        for note in notes:
            checkpoint = Checkpoint.from_text(note.text)
            assert log.root(checkpoint.size) == checkpoint.root
            assert len(note.signatures) >= 1 + of.needs_keys * len(tiny.NAMES), [r.events for r in journal.records]
        assert checkpoint.size == log.size


class Killed(Exception):
    """Stands for SIGKILL."""


def ends_in(op: str) -> Tamper:
    """Return a tamper that kills the coordinator at the second answer to `op` in round 1, or the first time at all."""
    current = {"round": -1, "seen": 0}

    def tamper(asked: str, site: str, answer: Message) -> Message:
        if asked == "train":
            current["round"] = answer.fields["round"]
        once = op in ("run", "hello", "meet", "bind", "confirm", "witness", "finish", "heard")
        if asked == op and (current["round"] == 1 or once):
            current["seen"] += 1
            if current["seen"] == 2:
                raise Killed
        return answer

    return tamper


def sent(wire: list[tuple[str, str, bytes]]) -> set[tuple[str, bytes]]:
    return {(site, frame) for op, site, frame in wire if op == "upload" and site != "coordinator"}


@pytest.mark.parametrize("pipeline", ["packed", "packed and masked", "ckks"])
def test_a_blind_coordinator_never_sees_the_model(tmp_path: Path, pipeline: str) -> None:
    result, journal, fabric = rigged.run(plan(pipeline), tmp_path)
    assert dict(result.weights) == {}
    assert journal.state == {}
    shapes = {value.shape for value in tiny.make_bench(plan(pipeline)).initial.values() if value.ndim > 1}
    for op, _, frame in fabric.wire:
        if op == "evaluate":
            continue  # probabilities of published images
        carried = rigged.tensors_of(frame)
        assert all(array.dtype == "uint8" for array in carried.values()), op
        assert not shapes & {array.shape for array in carried.values()}, op
    models = {(tmp_path / name / "model.safetensors").read_bytes() for name in tiny.NAMES}
    assert len(models) == 1


def test_the_plain_run_does_show_the_model(tmp_path: Path) -> None:
    """The positive control of the test above."""
    result, _, fabric = rigged.run(plan("quantised"), tmp_path)
    start = tiny.make_bench(plan("quantised")).initial
    told = [rigged.tensors_of(frame) for op, who, frame in fabric.wire if op == "train" and who == "coordinator"]
    assert digest_of(told[0]) == digest_of(start)
    assert digest_of(result.weights) == digests_last(fabric, result)


def digests_last(fabric: rigged.Tampering, result: Any) -> str:
    evaluated = [
        rigged.tensors_of(frame) for op, who, frame in fabric.wire if op == "evaluate" and who == "coordinator"
    ]
    return digest_of(evaluated[-1])


class Liar:
    """A site that trains, and clips, by another plan than it says."""

    def __init__(self, site: Any, lying: Any) -> None:
        self._site, self._lying, self._said = site, lying, site._plan

    def handle(self, op: str, body: Message) -> Message:
        self._site._plan = self._lying if op == "train" else self._said
        return self._site.handle(op, body)


def lying_about_the_clip(
    honest: Any, lying: Any, folder: Path, *liars: str, names: tuple[str, ...] = tiny.NAMES
) -> LocalFabric:
    """Return sites of which some clip as another plan says."""
    introduce_sites(folder, names)
    sizes = tuple((name, 8 + 4 * place) for place, name in enumerate(names))
    open_site = tiny.make_opener(to_json(honest), sizes, str(folder))

    def open_one(name: str) -> Handler:
        site: Any = open_site(name)
        return Liar(site, lying) if name in liars else site

    return LocalFabric(names, open_one, encoded=True)


@pytest.mark.parametrize("pipeline", FRAMES[1:])
def test_a_sum_that_honest_sites_cannot_make_voids_the_round(tmp_path: Path, pipeline: str) -> None:
    """Three sites cannot be bisected into groups of two: the round ends, by name, and nothing is committed."""
    honest = tiny.plan(rounds=1, protect=[{"stage": "clip", "norm": 1e-3}, *tiny.PIPELINES[pipeline][1:]])
    journal = Memory()
    with pytest.raises(QuorumLost, match="honest updates of total weight 64 have at most"):
        rigged.Coordinator(honest, lying_about_the_clip(honest, plan(pipeline), tmp_path, "north"), journal).run()
    assert journal.records == []
    # The control: nobody lies.
    journal = Memory()
    rigged.Coordinator(honest, lying_about_the_clip(honest, plan(pipeline), tmp_path / "honest"), journal).run()
    assert len(journal.records) == 1


def test_in_the_clear_a_void_sum_is_bisected_down_to_the_site_that_made_it(tmp_path: Path) -> None:
    honest = tiny.plan(rounds=1, protect=[{"stage": "clip", "norm": 1e-3}, tiny.QUANTISE])
    journal = Memory()
    rigged.Coordinator(honest, lying_about_the_clip(honest, plan("quantised"), tmp_path, "north"), journal).run()
    assert set(journal.records[0].accepted) == {"east", "west"}
    assert "norm" in journal.records[0].failed["north"]


@pytest.mark.parametrize("pipeline", FRAMES[1:])
def test_a_void_sum_is_bisected_into_groups_of_two_or_more(tmp_path: Path, pipeline: str) -> None:
    names = ("alba", "brno", "cork", "dijon", "evora", "faro", "gent")
    protect = [{"stage": "clip", "norm": 1e-3}, *tiny.PIPELINES[pipeline][1:]]
    honest, journal = tiny.plan(rounds=2, protect=protect), Memory()
    fabric = rigged.Tampering(
        lying_about_the_clip(honest, plan(pipeline), tmp_path, "evora", names=names), rigged.honest
    )
    rigged.Coordinator(honest, fabric, journal).run()
    for record in journal.records:
        assert set(record.failed) == {"dijon", "evora"}
        assert set(record.accepted) == {"alba", "brno", "cork", "faro", "gent"}
        assert sum("was void" in event for event in record.events) == 3
    assert ("unseal" in {op for op, _, _ in fabric.asked}) == ("packed" in pipeline)


class InParts:
    """Updates that take five parts, each a chunk."""

    changes: ClassVar[dict[str, Any]] = {"model": {"width": 24}, "training": {"steps": 1}}

    @pytest.fixture(autouse=True)
    def _small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scheme, "PART_CHUNKS", 1)


class TestParts(InParts):
    @pytest.mark.parametrize("pipeline", FRAMES)
    def test_parts_make_the_same_sum(self, tmp_path: Path, pipeline: str, monkeypatch: pytest.MonkeyPatch) -> None:
        journals = []
        for chunks in (1, 512):
            monkeypatch.setattr(scheme, "PART_CHUNKS", chunks)
            of = plan(pipeline, **self.changes)
            _, journal, fabric = rigged.run(of, tmp_path / f"{pipeline}-{chunks}".replace(" ", "-"))
            journals.append(journal)
            parts = {
                body.fields["part"] for op, _, body in fabric.asked if op == "upload" and isinstance(body, Message)
            }
            assert len(parts | {0}) == (1 if chunks == 512 else 5)
        assert digests(journals[0]) == digests(journals[1])

    @pytest.mark.parametrize("pipeline", FRAMES)
    def test_a_site_lost_between_its_parts_leaves_the_exact_sum_of_the_rest(
        self, tmp_path: Path, pipeline: str
    ) -> None:
        """It is in the first part's sum already, so the sum is formed anew without it."""
        uploads = {"north": 0}

        def tamper(op: str, site: str, answer: Message) -> Message | str:
            uploads[site] = uploads.get(site, 0) + (op == "upload")
            return LOST if op == "upload" and site == "north" and uploads["north"] == 2 else answer

        of = plan(pipeline, **self.changes)
        _, journal, _ = rigged.run(of, tmp_path / "lost", tamper)
        clear = plan("quantised", **self.changes)
        _, rest, _ = rigged.run(clear, tmp_path / "rest", losing("upload", "north", at_round=0))
        assert digests(journal) == digests(rest)
        assert set(journal.records[0].failed) == {"north"}
        assert any("abandoned" in event for event in journal.records[0].events)
