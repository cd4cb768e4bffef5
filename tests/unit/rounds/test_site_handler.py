"""A site checks what it is told, remembers what was accepted, and keeps to itself what it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from wardround.core.codec import Message, decode, encode
from wardround.core.update import Tensors
from wardround.errors import PlanError, SiteError, WireError
from wardround.rounds.plan import Plan
from wardround.rounds.site import Site
from wardround.rounds.store import SiteStore
from wardround.rounds.workbench import Workbench

STATEFUL = tiny.plan(rounds=5, algorithm={"name": "scaffold", "personal": "norms"}, training={"keep_optimiser": True})


def site(plan: Plan, folder: Path, name: str = "east", public: bool = True) -> Site:
    return Site(name, plan, tiny.site_data(name, public=public), Workbench(tiny.task(), plan.seed), SiteStore(folder))


def broadcast(plan: Plan) -> Tensors:
    bench = Workbench(tiny.task(), plan.seed)
    algorithm = plan.composed()
    personal = algorithm.personal(bench.lend())
    state = algorithm.server.start({k: v for k, v in bench.initial.items() if k not in personal})
    return algorithm.server.broadcast(state)


def request(plan: Plan, index: int = 0, accepted: int | None = None, **changes: Any) -> Message:
    fields = {
        "round": index,
        "cohort": ["east", "north"],
        "population": 2,
        "accepted": {} if accepted is None else {"east": accepted},
    }
    return Message({**fields, **changes}, broadcast(plan))


def same(left: Message, right: Message) -> bool:
    return all(value.tobytes() == right.tensors[name].tobytes() for name, value in left.tensors.items())


def test_a_site_that_was_given_another_plan_does_not_join(tmp_path: Path) -> None:
    mine = site(tiny.plan(), tmp_path)
    facts = mine.handle("open", Message({"digest": tiny.plan().digest()})).fields
    assert (facts["num_train"], facts["num_val"], facts["num_test"]) == (12, 6, 8)
    assert (facts["channels"], facts["classes"], facts["malignant"]) == (3, list(tiny.CLASSES), [])
    for digest in (tiny.plan(seed=2).digest(), None, "", 5):
        with pytest.raises(SiteError, match="another plan"):
            mine.handle("open", Message({"digest": digest}))


def test_a_site_refuses_a_plan_that_does_not_pass_the_check(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="quorum"):
        site(tiny.plan(sites_per_round=1, quorum=2), tmp_path)


def test_label_counts_leave_only_with_predictions(tmp_path: Path) -> None:
    for public, share, leaves in ((True, "auto", True), (False, "auto", False), (True, "metrics", False)):
        plan = tiny.plan(evaluation={"share": share})
        facts = site(plan, tmp_path, public=public).handle("open", Message({"digest": plan.digest()})).fields
        assert ("label_counts" in facts) is leaves


def test_a_round_answers_with_a_difference_like_the_broadcast(tmp_path: Path) -> None:
    plan = tiny.plan()
    answer = site(plan, tmp_path).handle("train", request(plan, 1))
    assert answer.fields["round"] == 1
    assert answer.fields["num_examples"] == 12
    assert answer.fields["remembers"] is False
    assert {n: (v.shape, v.dtype) for n, v in answer.tensors.items()} == {
        n: (v.shape, v.dtype) for n, v in broadcast(plan).items()
    }
    assert any(value.any() for value in answer.tensors.values())
    assert not tmp_path.joinpath("memory-000001.safetensors").exists()
    assert same(decode(encode(answer)), answer)


WRONG: dict[str, dict[str, Any]] = {
    "a round beyond the plan": {"round": 2},
    "a negative round": {"round": -1},
    "a round that is no number": {"round": "0"},
    "a boolean round": {"round": True},
    "a broken round": {"round": 0.0},
    "a cohort without it": {"cohort": ["north", "west"]},
    "an empty cohort": {"cohort": []},
    "a cohort of numbers": {"cohort": [1, 2]},
    "no cohort": {"cohort": None},
    "accepted is no table": {"accepted": 3},
    "an accepted round it never saw": {"accepted": {"east": 1}},
    "an accepted round of text": {"accepted": {"east": "x"}},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_a_request_that_is_no_round_of_its_plan_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    plan = tiny.plan(algorithm={"name": "scaffold"})
    mine = site(plan, tmp_path / "store")
    with pytest.raises(SiteError):
        mine.handle("train", request(plan, **changes))
    assert not (tmp_path / "store").exists()
    assert mine.handle("train", request(plan)).fields["round"] == 0


@pytest.mark.parametrize("op", ["train", "evaluate"])
@pytest.mark.parametrize("damage", ["missing", "shape", "dtype"])
def test_a_broadcast_unlike_the_template_is_refused(tmp_path: Path, op: str, damage: str) -> None:
    plan = tiny.plan()
    good = request(plan, part="val")
    name = sorted(good.tensors)[0]
    tensors = dict(good.tensors)
    if damage == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][..., :1] if damage == "shape" else tensors[name].astype(np.float64)
    with pytest.raises(WireError, match=f"lacks {name}"):
        site(plan, tmp_path).handle(op, Message(good.fields, tensors))


def test_unknown_operations_and_parts_are_refused(tmp_path: Path) -> None:
    plan = tiny.plan()
    mine = site(plan, tmp_path)
    with pytest.raises(SiteError, match="operation 'delete' is unknown"):
        mine.handle("delete", Message())
    for body in (Message({"part": "train", "accepted": {}}, broadcast(plan)), Message()):
        with pytest.raises(SiteError, match=r"evaluate failed|accepted is None"):
            mine.handle("evaluate", body)


def test_a_diverged_round_is_a_failure_and_leaves_no_memory(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "scaffold"}, training={"learning_rate": 1e30})
    with pytest.raises(SiteError, match=r"diverged.*learning_rate"):
        site(plan, tmp_path / "store").handle("train", request(plan))
    assert not (tmp_path / "store").exists()


def test_a_site_without_training_images_says_so(tmp_path: Path) -> None:
    plan = tiny.plan()
    empty = Site("east", plan, tiny.site_data("east", 0), Workbench(tiny.task(), 1), SiteStore(tmp_path))
    with pytest.raises(SiteError, match="no training images"):
        empty.handle("train", request(plan))
    assert empty.handle("evaluate", Message({"part": "test", "accepted": {}}, broadcast(plan))).fields["origins"]


def test_a_site_goes_on_from_the_accepted_round_and_from_no_other(tmp_path: Path) -> None:
    plan, mine = STATEFUL, site(STATEFUL, tmp_path / "a")
    mine.handle("train", request(plan, 0))
    second = mine.handle("train", request(plan, 1, accepted=0))
    fresh = mine.handle("train", request(plan, 1))
    assert not same(second, fresh)  # the memory makes a difference
    assert same(second, mine.handle("train", request(plan, 1, accepted=0)))  # an attempt repeated gives the same
    # A site that is opened anew, after an attempt at round 1 that nobody accepted, and one that never made it:
    assert same(second, site(plan, tmp_path / "a").handle("train", request(plan, 1, accepted=0)))
    other = site(plan, tmp_path / "b")
    other.handle("train", request(plan, 0))
    assert same(second, other.handle("train", request(plan, 1, accepted=0)))


def test_a_damaged_memory_is_this_site_s_failure(tmp_path: Path) -> None:
    mine = site(STATEFUL, tmp_path)
    mine.handle("train", request(STATEFUL, 0))
    (tmp_path / "memory-000000.safetensors").write_bytes(b"garbage")
    with pytest.raises(SiteError, match="round 0 cannot be read"):
        mine.handle("train", request(STATEFUL, 1, accepted=0))
    with pytest.raises(SiteError, match="round 0 cannot be read"):
        mine.handle("evaluate", Message({"part": "val", "accepted": {"east": 0}}, broadcast(STATEFUL)))


def test_personal_weights_neither_leave_nor_get_overwritten(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "fedbn"})
    mine = site(plan, tmp_path)
    answer = mine.handle("train", request(plan))
    personal = Workbench(tiny.task(), 1).initial.keys() - broadcast(plan).keys()
    assert personal
    assert not personal & answer.tensors.keys()
    assert answer.fields["remembers"] is True
    hostile = Message({"part": "test", "accepted": {"east": 0}}, dict(broadcast(plan)))
    expected = mine.handle("evaluate", hostile)
    flooded = {**hostile.tensors, **{name: np.full(1, 9, np.float32) for name in personal}}
    assert same(expected, mine.handle("evaluate", Message(hostile.fields, flooded)))


def test_the_evaluation_uses_the_memory_of_the_accepted_round(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "fedbn"}, training={"steps": 6, "learning_rate": 0.5})
    mine = site(plan, tmp_path)
    mine.handle("train", request(plan))
    before = mine.handle("evaluate", Message({"part": "test", "accepted": {}}, broadcast(plan)))
    after = mine.handle("evaluate", Message({"part": "test", "accepted": {"east": 0}}, broadcast(plan)))
    assert before.tensors["probabilities"].tobytes() != after.tensors["probabilities"].tobytes()


def test_predictions_name_no_patient(tmp_path: Path) -> None:
    plan = tiny.plan()
    answer = site(plan, tmp_path).handle("evaluate", Message({"part": "test", "accepted": {}}, broadcast(plan)))
    assert b"patient" not in encode(answer)
    assert answer.tensors["groups"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert answer.fields["origins"] == ["east"]


def test_metrics_only_sends_numbers_only(tmp_path: Path) -> None:
    plan = tiny.plan(evaluation={"share": "metrics"})
    answer = site(plan, tmp_path).handle("evaluate", Message({"part": "test", "accepted": {}}, broadcast(plan)))
    assert set(answer.tensors) == {"confusion"}
    assert answer.tensors["confusion"].sum() == 8
    assert set(answer.fields) == {"metrics", "auc_classes", "num_examples", "num_groups"}
    assert set(answer.fields["metrics"]) == {"auc", "balanced_accuracy", "f1", "calibration_error"}


def test_one_workbench_serves_many_sites_alike(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "fedbn"})
    bench = Workbench(tiny.task(), plan.seed)
    shared = [
        Site(name, plan, tiny.site_data(name), bench, SiteStore(tmp_path / "shared" / name)) for name in tiny.NAMES[:2]
    ]
    answers = [each.handle("train", request(plan)) for each in shared]
    for name, answer in zip(tiny.NAMES[:2], answers, strict=True):
        assert same(answer, site(plan, tmp_path / "alone" / name, name).handle("train", request(plan)))
