"""The ledger of a run across faults: sites that do not sign, coordinators that were stopped, states that were lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rigged
import tiny
from rigged import Memory

from wardround.core.codec import Message
from wardround.errors import PlanError, RunError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.entries import PrivacyEvent
from wardround.ledger.notes import Note
from wardround.rounds.logbook.history import History, read_history
from wardround.rounds.logbook.lines import lines_of, verdict_in
from wardround.rounds.plan import Plan

COSIGNED = {"cosign": "sites"}
LOST = "the power failed"


def plan(**changes: Any) -> Plan:
    return tiny.plan(**{"rounds": 3, "ledger": COSIGNED, **changes})


def history_of(journal: Memory) -> History:
    with journal.ledger() as log:
        return read_history(log.entries())


def signers_of(note: Note) -> set[str]:
    return {one.name for one in note.signatures if not one.name.startswith("wardround/")}


def test_every_round_is_signed_and_every_tenth_also_to_outlast(tmp_path: Path) -> None:
    of = plan(rounds=4, ledger={**COSIGNED, "outlasting_every": 2})
    _, journal, _ = rigged.run(of, tmp_path)
    history = history_of(journal)
    counts = [len(entry.note.signatures) for entry in history.cosigned.values()]
    assert counts == [4, 4, 7, 4, 7]  # the opening and four rounds
    assert len(Note.from_bytes(journal.note or b"").signatures) == 7
    assert history.rounds == [lines_of(record) for record in journal.records]


def test_without_keys_there_is_a_ledger_that_nobody_co_signs(tmp_path: Path) -> None:
    result, journal, fabric = rigged.run(plan(ledger={}), tmp_path)
    history = history_of(journal)
    assert len(history.rounds) == 3
    assert history.cosigned == {}
    assert (result.ledger.cosigned, result.ledger.final) == ((), False)
    assert not {"witness", "cosign", "heard", "hello"} & {op for op, _, _ in fabric.asked}
    assert all("use_root" not in said for record in journal.records for said in record.accepted.values())


def test_a_plan_may_leave_out_the_lists_or_the_signatures(tmp_path: Path) -> None:
    masked = tiny.PIPELINES["masked"]
    _, journal, fabric = rigged.run(plan(protect=masked, ledger={"cosign": "nobody"}), tmp_path / "nobody")
    assert history_of(journal).cosigned == {}
    assert "cosign" not in {op for op, _, _ in fabric.asked}
    _, journal, _ = rigged.run(plan(ledger={**COSIGNED, "data_use": False}), tmp_path / "no lists")
    history = history_of(journal)
    assert len(history.opening) == 1
    assert not any(entry.kind == "data-use" for lines in history.rounds for entry in lines)


@pytest.mark.parametrize("op", ["witness", "cosign", "heard"])
def test_a_site_that_does_not_answer_is_missing_by_name(tmp_path: Path, op: str) -> None:
    def tamper(asked: str, site: str, answer: Message) -> Message | str:
        return LOST if asked == op and site == "north" else answer

    result, journal, _ = rigged.run(plan(), tmp_path, tamper)
    told = [*(event for record in journal.records for event in record.events), *result.ledger.events]
    assert any("site north" in event and LOST in event for event in told)
    assert len(journal.records) == 3
    assert ("north" in result.ledger.cosigned) == (op == "heard")
    assert "north" not in result.ledger.confirmed
    assert history_of(journal).closed is not None


def test_a_site_that_missed_a_checkpoint_signs_the_next(tmp_path: Path) -> None:
    turns = {"north": 0}

    def tamper(asked: str, site: str, answer: Message) -> Message | str:
        turns[site] = turns.get(site, 0) + (asked == "cosign")
        return LOST if asked == "cosign" and site == "north" and turns["north"] == 2 else answer

    result, journal, _ = rigged.run(plan(), tmp_path, tamper)
    signed = [signers_of(entry.note) for entry in history_of(journal).cosigned.values()]
    assert [len(names) for names in signed] == [3, 2, 3, 3]
    assert result.ledger.final
    assert result.ledger.confirmed == tiny.NAMES


def test_signatures_that_are_not_a_site_s_own_are_refused(tmp_path: Path) -> None:
    held: dict[str, Any] = {}

    def tamper(asked: str, site: str, answer: Message) -> Message:
        if asked == "cosign":
            held.setdefault(site, answer.tensors["signatures"])
            if site == "north":
                return Message(answer.fields, {**answer.tensors, "signatures": held["east"]})
        return answer

    result, journal, _ = rigged.run(plan(), tmp_path, tamper)
    assert any("is not its signature of this checkpoint" in e for r in journal.records for e in r.events)
    assert result.ledger.cosigned == ("east", "west")


def test_a_failed_site_stands_there_with_its_reason(tmp_path: Path) -> None:
    def tamper(asked: str, site: str, answer: Message) -> Message | str:
        return LOST if asked == "train" and site == "north" else answer

    result, journal, _ = rigged.run(plan(quorum=2), tmp_path, tamper)
    verdicts = [e for e in history_of(journal).rounds[0] if e.kind == "verdict"]
    assert [(e.site, e.verdict, e.reason) for e in verdicts][1] == ("north", "failed", LOST)  # type: ignore[attr-defined]
    assert result.ledger.final  # north was told, and signs the history


def test_cohorts_sign_what_they_did_and_the_others_the_history(tmp_path: Path) -> None:
    result, _, _ = rigged.run(plan(sites_per_round=2, quorum=2), tmp_path)
    assert result.ledger.final
    assert result.ledger.events == ()


class Ended(Exception):
    """The coordinator was stopped."""


def stopped(of: Plan, folder: Path, round_index: int) -> Memory:
    def tamper(asked: str, site: str, answer: Message) -> Message:
        if asked == "train" and answer.fields["round"] == round_index:
            raise Ended
        return answer

    journal = Memory()
    with pytest.raises(Ended):
        rigged.run(of, folder, tamper, journal)
    return journal


def test_a_state_that_was_lost_is_made_anew_and_the_ledger_says_so(tmp_path: Path) -> None:
    """A power failure may take the last checkpoints of the model, and leave the ledger, which waits for the disk."""
    of = plan()
    whole, _, _ = rigged.run(of, tmp_path / "whole")
    journal = stopped(of, tmp_path / "cut", 2)
    kept = journal.records[:1]
    journal.records, journal.state = kept, None
    states: list[Any] = []
    commit = Memory.commit

    class Noting(Memory):
        def commit(self, record: Any, state: Any) -> None:
            states.append(dict(state))
            commit(self, record, state)

    noting = Noting()
    rigged.run(plan(rounds=1, name="one"), tmp_path / "one", journal=noting)
    journal.state = states[0]  # the state after round 0 is the same under any name of the plan
    result, journal, _ = rigged.run(of, tmp_path / "cut", journal=journal)
    history = history_of(journal)
    assert history.rewinds == [1]
    assert history.rounds == [lines_of(record) for record in journal.records]
    assert result.model_sha256 == whole.model_sha256
    assert result.ledger.final


def test_a_ledger_that_says_something_else_of_a_round_stops_the_run(tmp_path: Path) -> None:
    journal = stopped(plan(), tmp_path, 2)
    journal.records[1] = journal.records[1].having(bytes_up=1)
    with pytest.raises(RunError, match="differ in round 1"):
        rigged.run(plan(), tmp_path, journal=journal)


def test_other_keys_of_the_sites_stop_the_run(tmp_path: Path) -> None:
    journal = stopped(plan(), tmp_path / "first", 2)
    with pytest.raises(RunError, match="other keys of the sites"):
        rigged.run(plan(), tmp_path / "others", journal=journal)


def test_a_checkpoint_that_was_lost_is_signed_again(tmp_path: Path) -> None:
    journal = stopped(plan(), tmp_path, 2)
    journal.note = None
    result, journal, _ = rigged.run(plan(), tmp_path, journal=journal)
    assert result.ledger.final
    with journal.ledger() as log:
        last = Checkpoint.from_text(Note.from_bytes(journal.note or b"").text)
        assert (last.size, last.root) == (log.size, log.root())


def test_one_site_alone_cannot_co_sign(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="rule cosigned-alone"):
        plan(algorithm={"name": "central"}).check()
    with pytest.raises(PlanError, match="rule cosigned-alone"):
        plan().check(1)


def test_plain_runs_end_in_the_same_model_whoever_signs(tmp_path: Path) -> None:
    runs = [rigged.run(plan(ledger=rules), tmp_path / str(i))[0] for i, rules in enumerate(({}, COSIGNED))]
    assert len({run.model_sha256 for run in runs}) == 1


def test_a_refused_update_stands_there_with_its_commitment_and_its_reason(tmp_path: Path) -> None:
    def tamper(asked: str, site: str, answer: Message) -> Message:
        if asked == "train" and site == "north":
            return Message(answer.fields, {name: 1000 * value for name, value in answer.tensors.items()})
        return answer

    of = plan(quorum=2, screen=[{"name": "norms"}])
    result, journal, _ = rigged.run(of, tmp_path, tamper)
    lines = [entry for entry in history_of(journal).rounds[0] if getattr(entry, "site", "") == "north"]
    assert [entry.kind for entry in lines] == ["update", "verdict", "data-use"]
    verdict = verdict_in(lines)
    assert verdict is not None
    assert (verdict.verdict, verdict.weight) == ("refused", 0)
    assert "norm" in verdict.reason
    told = [event for record in journal.records for event in record.events]
    assert any("site north did not co-sign" in event for event in told)  # what was judged is not what it sent
    assert result.ledger.cosigned == tiny.NAMES  # nothing of its own is in the end, and its history holds


def test_noise_and_its_cost_stand_there(tmp_path: Path) -> None:
    of = plan(
        rounds=2,
        protect=[{"stage": "clip", "norm": 1.0}, {"stage": "noise"}],
        aggregator={"weighting": "uniform"},
        privacy={"unit": "site", "noise_multiplier": 2.0, "delta": 1e-5},
    )
    result, journal, _ = rigged.run(of, tmp_path)
    found = [entry for lines in history_of(journal).rounds for entry in lines if isinstance(entry, PrivacyEvent)]
    assert len(found) == 2 * len(tiny.NAMES)
    assert all("noise_multiplier 2.0" in entry.event for entry in found)
    costs = [entry.epsilon or 0 for entry in found]
    assert 0 < costs[0] < costs[-1]
    assert costs[-1] == journal.records[-1].privacy["epsilon"]  # type: ignore[index]
    assert result.ledger.final
