"""The coordinator: bad answers fail alone and by name, and what was completed is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rigged import Memory, Tampering, Told, honest, run

from wardround.core.codec import Message, encode
from wardround.core.update import Tensors
from wardround.errors import PlanError, QuorumLost, RunError
from wardround.rounds.checks import MOST_EXAMPLES
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.digests import digest_of
from wardround.rounds.record import RoundRecord


def changed(message: Message, tensors: Tensors | None = None, **fields: Any) -> Message:
    return Message({**message.fields, **fields}, message.tensors if tensors is None else tensors)


def first(message: Message, change: Callable[[np.ndarray], np.ndarray]) -> Message:
    name = sorted(message.tensors)[0]
    return changed(message, {**message.tensors, name: change(message.tensors[name])})


def poked(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def poke(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array.flat[0] = value
        return array

    return poke


BAD: dict[str, tuple[Callable[[Message], Message | str | bytes], str]] = {
    "NaN": (lambda m: first(m, poked(np.nan)), "NaN or an infinity"),
    "infinity": (lambda m: first(m, poked(-np.inf)), "NaN or an infinity"),
    "another shape": (lambda m: first(m, lambda a: a[..., None]), "tensor 'net/"),
    "another dtype": (lambda m: first(m, lambda a: a.astype(np.float64)), "float64"),
    "a tensor too many": (lambda m: changed(m, {**m.tensors, "net/zzz": np.zeros(1, np.float32)}), "'net/zzz'"),
    "a tensor too few": (lambda m: changed(m, dict(list(m.tensors.items())[1:])), "differ in tensor"),
    "no tensors": (lambda m: changed(m, {}), "differ in tensor"),
    "an earlier round": (lambda m: changed(m, round=0), "for round 0, not for round 1"),
    "a later round": (lambda m: changed(m, round=2), "for round 2"),
    "a boolean round": (lambda m: changed(m, round=True), "for round True"),
    "a round with a point": (lambda m: changed(m, round=1.0), "for round 1.0"),
    "no round": (lambda m: Message({k: v for k, v in m.fields.items() if k != "round"}, m.tensors), "round None"),
    "negative examples": (lambda m: changed(m, num_examples=-5), "num_examples"),
    "zero examples": (lambda m: changed(m, num_examples=0), "num_examples"),
    "boolean examples": (lambda m: changed(m, num_examples=True), "num_examples is True"),
    "examples with a point": (lambda m: changed(m, num_examples=3.0), "num_examples is 3.0"),
    "too many examples": (lambda m: changed(m, num_examples=MOST_EXAMPLES + 1), "num_examples"),
    "examples beyond any float": (lambda m: changed(m, num_examples=10**400), "num_examples"),
    "a loss of text": (lambda m: changed(m, loss="0.1"), "loss is '0.1'"),
    "a loss that is not finite": (lambda m: changed(m, loss=float("nan")), "not finite"),
    "no memory flag": (lambda m: changed(m, remembers=1), "remembers is 1"),
    "a long word": (lambda m: changed(m, loss="x" * 10**5), "loss is 'xxxx"),
    "garbage": (lambda m: b"garbage" * 5, "not a legal frame"),
    "an empty frame": (lambda m: b"", "not a legal frame"),
    "neither answer nor failure": (lambda m: encode(Message({"a": 1})), "neither an answer nor a failure"),
    "a failure": (lambda m: "the disk is full", "the disk is full"),
}


@pytest.mark.parametrize(("damage", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_answer_fails_alone_and_by_name(
    tmp_path: Path, damage: Callable[[Message], Message | str | bytes], reason: str
) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message | str | bytes:
        bad = op == "train" and site == "north" and answer.fields["round"] == 1
        return damage(answer) if bad else answer

    result, journal, _ = run(tiny.plan(rounds=3), tmp_path, tamper)
    assert [list(record.failed) for record in journal.records] == [[], ["north"], []]
    failure = journal.records[1].failed["north"]
    assert reason in failure
    assert len(failure) < 300
    assert set(journal.records[1].accepted) == {"east", "west"}
    assert set(result.test.sites) == set(tiny.NAMES)
    assert all(np.isfinite(value).all() for value in result.weights.values())


def test_the_mean_is_that_of_the_good_answers(tmp_path: Path) -> None:
    """Leaving a site out by its own failure is the same as its never having been asked."""

    def tamper(op: str, site: str, answer: Message) -> Message | str:
        return "no" if op == "train" and site == "north" else answer

    result, journal, _ = run(tiny.plan(rounds=1), tmp_path, tamper)
    updates: dict[str, Tensors] = {}
    sizes = dict(tiny.SIZES)

    def note(op: str, site: str, answer: Message) -> Message:
        if op == "train":
            updates[site] = answer.tensors
        return answer

    _, _, fabric = run(tiny.plan(rounds=1), tmp_path / "again", note)
    start = next(body.tensors for op, _, body in fabric.asked if op == "train")
    for name, before in start.items():
        total = sum(sizes[s] * updates[s][name].astype(np.float64) for s in ("east", "west"))
        mean = (total / (sizes["east"] + sizes["west"])).astype(np.float32)
        np.testing.assert_array_equal(result.weights[name], before + mean)
    assert journal.records[0].state_digest == digest_of({n: result.weights[n] for n in start})


def test_below_quorum_the_run_stops_and_keeps_what_it_had(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message | str:
        broken = op == "train" and answer.fields["round"] == 2 and site != "west"
        return "the power is out" if broken else answer

    plan, journal = tiny.plan(rounds=4), Memory()
    with pytest.raises(QuorumLost, match=r"round 2 had 1 good updates, its quorum is 2 .*north: the power is out"):
        run(plan, tmp_path / "a", tamper, journal)
    assert [record.round for record in journal.records] == [0, 1]
    assert journal.state is not None
    resumed, journal, _ = run(plan, tmp_path / "a", journal=journal)
    undisturbed, _, _ = run(plan, tmp_path / "b")
    assert [record.round for record in journal.records] == [0, 1, 2, 3]
    assert digest_of(resumed.weights) == digest_of(undisturbed.weights)


@pytest.mark.parametrize(("quorum", "stops"), [(1, False), (2, False), (3, True)])
def test_the_quorum_of_the_plan_counts(tmp_path: Path, quorum: int, stops: bool) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message | str:
        return "no" if op == "train" and site == "north" else answer

    plan = tiny.plan(rounds=1, quorum=quorum)
    if stops:
        with pytest.raises(QuorumLost, match="quorum is 3"):
            run(plan, tmp_path, tamper)
    else:
        assert len(run(plan, tmp_path, tamper)[1].records) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"algorithm": {"name": "scaffold", "personal": "norms"}, "training": {"keep_optimiser": True}},
        {"algorithm": {"name": "fedbn"}, "server": {"name": "adam"}, "average_decay": 0.8},
        {"sites_per_round": 2, "server": {"momentum": 0.9}},
    ],
    ids=["scaffold", "fedbn+adam+average", "cohorts"],
)
def test_a_run_resumed_after_any_round_is_the_same_run(tmp_path: Path, settings: dict[str, Any]) -> None:
    plan = tiny.plan(rounds=3, **settings)
    whole, journal, _ = run(plan, tmp_path / "whole")

    class DiesAfter(Memory):
        def __init__(self, rounds: int) -> None:
            super().__init__()
            self.left = rounds

        def commit(self, record: RoundRecord, state: Tensors) -> None:
            if self.left == 0:
                raise KeyboardInterrupt  # the round was computed and its memories written, but never committed
            self.left -= 1
            super().commit(record, state)

    for rounds in (0, 1, 2):
        cut = DiesAfter(rounds)
        folder = tmp_path / f"cut-{rounds}"
        with pytest.raises(KeyboardInterrupt):
            run(plan, folder, journal=cut)
        cut.left = 99
        resumed, after, _ = run(plan, folder, journal=cut)
        assert digest_of(resumed.weights) == digest_of(whole.weights)
        assert [r.state_digest for r in after.records] == [r.state_digest for r in journal.records]
        assert resumed.test.values() == whole.test.values()


def test_a_failed_site_s_variate_stays_and_the_common_one_is_still_their_mean(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message | str:
        return "no" if op == "train" and site == "north" and answer.fields["round"] == 1 else answer

    plan = tiny.plan(rounds=2, algorithm={"name": "scaffold"}, aggregator={"weighting": "uniform"})
    _, journal, fabric = run(plan, tmp_path, tamper)
    own = []
    for site in tiny.NAMES:
        round_index = 0 if site == "north" else 1
        opened = fabric.inner._host._open[site]
        own.append(opened._store.read(round_index))  # type: ignore[attr-defined]
    assert journal.state is not None
    for name, common in journal.state.items():
        if name.startswith("variate/"):
            np.testing.assert_allclose(common, sum(memory[name] for memory in own) / 3, atol=1e-6)


def test_cohorts_are_drawn_from_the_seed_and_differ(tmp_path: Path) -> None:
    plan = tiny.plan(rounds=8, sites_per_round=2, training={"steps": 1})
    cohorts = [record.cohort for record in run(plan, tmp_path / "a")[1].records]
    assert all(len(set(cohort)) == 2 and list(cohort) == sorted(cohort) for cohort in cohorts)
    assert len(set(cohorts)) > 1
    assert cohorts == [record.cohort for record in run(plan, tmp_path / "b")[1].records]
    other = run(replace(plan, seed=2), tmp_path / "c")[1].records
    assert cohorts != [record.cohort for record in other]


def test_a_site_is_told_which_of_its_rounds_was_accepted(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message | str:
        return "no" if op == "train" and site == "north" and answer.fields["round"] == 1 else answer

    _, _, fabric = run(tiny.plan(rounds=3, algorithm={"name": "scaffold"}), tmp_path, tamper)
    accepted = [body.fields["accepted"] for op, _, body in fabric.asked if op == "train"]
    assert accepted == [
        {},
        {"east": 0, "north": 0, "west": 0},
        {"east": 1, "north": 0, "west": 1},
    ]
    final = fabric.asked[-1][2].fields["accepted"]
    assert final == {"east": 2, "north": 2, "west": 2}


def test_validation_happens_on_schedule_and_names_who_is_missing(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message | str:
        return "no time" if op == "evaluate" and site == "north" else answer

    plan = tiny.plan(rounds=4, evaluation={"every": 2})
    result, journal, _ = run(plan, tmp_path, tamper)
    assert [bool(record.validation) for record in journal.records] == [False, True, False, True]
    assert set(journal.records[1].validation) == {"east", "west", "pooled"}
    assert journal.records[1].events == ("site north is missing from the validation: no time",)
    assert result.test_failed == {"north": "no time"}
    assert set(result.test.sites) == {"east", "west"}


def test_an_evaluation_that_cannot_be_read_fails_alone(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message:
        if op == "evaluate" and site == "west":
            return changed(answer, {**answer.tensors, "probabilities": np.full((8, 2), np.nan, np.float32)})
        if op == "evaluate" and site == "north":
            return changed(answer, origins=["east"])  # speaks for another site
        return answer

    result, _, _ = run(tiny.plan(rounds=1), tmp_path, tamper)
    assert set(result.test.sites) == {"east"}
    assert set(result.test_failed) == {"north", "west"}
    assert "speaks for ['east']" in result.test_failed["north"]


def test_when_no_site_can_be_tested_the_run_stops(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message | str:
        return "no" if op == "evaluate" else answer

    journal = Memory()
    with pytest.raises(RunError, match=r"no site could evaluate.*east: no"):
        run(tiny.plan(), tmp_path, tamper, journal)
    assert len(journal.records) == 2


@pytest.mark.parametrize(
    "facts",
    [
        {"num_train": -1},
        {"num_train": True},
        {"num_test": "8"},
        {"channels": None},
        {"classes": "dark"},
        {"classes": [1, 2]},
        {"malignant": None},
        {"label_counts": ["x"]},
        {"trains_class": [True]},
        {"trains_class": [1, 0]},
    ],
)
def test_a_site_that_joins_with_nonsense_stops_the_run_by_name(tmp_path: Path, facts: dict[str, Any]) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message:
        return changed(answer, **facts) if op == "open" and site == "north" else answer

    with pytest.raises(RunError, match="site north could not join"):
        run(tiny.plan(), tmp_path, tamper)


def test_a_class_that_no_site_trains_is_refused(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message:
        return changed(answer, trains_class=[True, False]) if op == "open" else answer

    with pytest.raises(PlanError, match="class 'light' has no training image at any site"):
        run(tiny.plan(), tmp_path, tamper)


def test_a_class_that_one_site_lacks_is_no_matter(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message:
        return changed(answer, trains_class=[True, False]) if (op, site) == ("open", "north") else answer

    assert len(run(tiny.plan(), tmp_path, tamper)[0].records) == 2


def test_a_site_that_cannot_join_stops_the_run_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="site north could not join: locked"):
        run(tiny.plan(), tmp_path, lambda op, site, answer: "locked" if (op, site) == ("open", "north") else answer)


def test_sites_with_different_classes_are_refused(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message:
        return changed(answer, classes=["dark", "grey"]) if (op, site) == ("open", "north") else answer

    with pytest.raises(PlanError, match=r"different classes.*north: dark, grey"):
        run(tiny.plan(), tmp_path, tamper)


@pytest.mark.parametrize("settings", [{"sites_per_round": 4}, {"quorum": 4}])
def test_a_cohort_beyond_the_sites_is_refused_before_training(tmp_path: Path, settings: dict[str, int]) -> None:
    fabric = Tampering(tiny.fabric(tiny.plan(**settings), tmp_path), honest)
    with pytest.raises(PlanError, match="only 3 sites train"):
        Coordinator(tiny.plan(**settings), fabric, Memory()).run()
    assert {op for op, _, _ in fabric.asked} == {"open"}


def test_a_plan_that_is_refused_reaches_no_site(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "local"}, average_decay=0.5)
    fabric = Tampering(tiny.fabric(tiny.plan(), tmp_path), honest)
    with pytest.raises(PlanError):
        Coordinator(plan, fabric, Memory()).run()
    assert fabric.asked == []


def test_the_listener_hears_answers_and_rounds_in_order(tmp_path: Path) -> None:
    def tamper(op: str, site: str, answer: Message) -> Message | str:
        return "no" if op == "train" and site == "north" else answer

    told = Told()
    plan = tiny.plan(rounds=1)
    Coordinator(plan, Tampering(tiny.fabric(plan, tmp_path), tamper), Memory(), told).run()
    assert told.heard == [(0, "east", None), (0, "north", "no"), (0, "west", None), ("completed", 0)]


def test_bytes_are_those_of_the_messages(tmp_path: Path) -> None:
    _, journal, fabric = run(tiny.plan(rounds=1), tmp_path)
    record = journal.records[0]
    body = next(body for op, _, body in fabric.asked if op == "train")
    assert record.bytes_down == 3 * body.size_bytes
    assert record.bytes_up == sum(said["bytes"] for said in record.accepted.values())


def test_what_stays_personal_is_never_on_the_wire(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "fedbn"})
    result, _, fabric = run(plan, tmp_path)
    assert result.personal
    for name in result.personal:
        assert not any(name.encode() in frame for _, _, frame in fabric.wire)
    shared = set(result.weights) - set(result.personal)
    assert any(next(iter(shared)).encode() in frame for _, _, frame in fabric.wire)


def test_local_shares_nothing_and_still_reports(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "local"}, training={"steps": 8, "learning_rate": 0.2})
    result, journal, fabric = run(plan, tmp_path)
    assert not any(body.tensors for op, _, body in fabric.asked if op in ("train", "evaluate"))
    assert set(result.personal) == set(result.weights)
    assert set(result.test.sites) == set(tiny.NAMES)
    assert all(record.loss > 0 for record in journal.records)


@pytest.mark.parametrize(
    ("public", "share", "leave"),
    [(True, "auto", True), (False, "auto", False), (True, "metrics", False), (False, "predictions", True)],
)
def test_predictions_leave_only_where_they_may(tmp_path: Path, public: bool, share: str, leave: bool) -> None:
    plan = tiny.plan(evaluation={"every": 1, "share": share})
    result, _, fabric = run(plan, tmp_path, public=public)
    answers = [frame for op, sender, frame in fabric.wire if op == "evaluate" and sender != "coordinator"]
    assert len(answers) == 3 * (2 + 1)
    assert all((b"probabilities" in frame) is leave for frame in answers)
    for test in result.test.sites.values():
        assert (test.outcome is not None) is leave
        assert test.totals["confusion"].sum() == 8
    assert (result.test.pooled.metrics["auc"].value is not None) is leave
    assert result.test.pooled.metrics["f1"].value is not None


def test_no_patient_is_ever_named_on_the_wire(tmp_path: Path) -> None:
    for share in ("predictions", "metrics"):
        _, _, fabric = run(tiny.plan(evaluation={"every": 1, "share": share}), tmp_path / share)
        names = {name for site in tiny.NAMES for part in (1, 2, 3) for name in tiny.images(16, site, part).groups}
        assert len(names) > 50
        for _, _, frame in fabric.wire:
            assert b"patient" not in frame
            assert not any(name.encode() in frame for name in names)
