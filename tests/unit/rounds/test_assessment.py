"""What sites answer to ``evaluate``: good replies add up, bad ones are that site's own failure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny

from wardround.core.codec import Message
from wardround.errors import WireError
from wardround.fabric.base import Answer
from wardround.metrics.clinical import Predictions, balanced_accuracy, confusion_matrix, macro_auc, macro_f1
from wardround.rounds.assessment import Reader

READER = Reader(tiny.task(), replicates=20, seed=3, min_positives=1)


def shared(site: str = "east", count: int = 12, seed: int = 0) -> Message:
    rng = np.random.default_rng(seed)
    first = rng.random(count).astype(np.float32)
    return Message(
        {"origins": [site]},
        {
            "probabilities": np.stack([first, 1 - first], axis=1),
            "labels": np.arange(count) % 2,
            "groups": np.arange(count) // 2,
            "origins": np.zeros(count, np.int64),
        },
    )


def numbers(site: str = "east", **changes: Any) -> Message:
    fields = {
        "metrics": {
            "auc": [0.7, 0.5, 0.9],
            "balanced_accuracy": [0.75, None, None],
            "f1": [0.7, 0.6, 0.8],
            "calibration_error": [None, None, None],
        },
        "auc_classes": ["light"],
        "num_examples": 8,
        "num_groups": 4,
    }
    return Message({**fields, **changes}, {"confusion": np.array([[3, 1], [1, 3]])})


def pooled(messages: dict[str, Message]) -> Predictions:
    parts = [
        Predictions(
            m.tensors["probabilities"],
            m.tensors["labels"],
            np.char.add(f"{site}/", m.tensors["groups"].astype(str)),
            tiny.CLASSES,
        )
        for site, m in messages.items()
    ]
    return Predictions.concatenate(parts)


def test_shared_predictions_are_described_by_site_and_pooled() -> None:
    messages = {site: shared(site, 10 + 2 * index, index) for index, site in enumerate(("west", "east"))}
    tests = {}
    for site, message in messages.items():
        tests |= READER.read(Answer(site, message))
    found = READER.assessment(tests)
    assert list(found.sites) == ["east", "west"]
    together = pooled(messages)
    assert found.values()["pooled"]["auc"] == pytest.approx(float(macro_auc(together, min_positive_groups=1)))
    assert found.pooled.num_examples == 22
    assert found.pooled.num_groups == 11
    alone = pooled({"east": messages["east"]})
    assert found.values()["east"]["f1"] == pytest.approx(float(macro_f1(alone)))
    np.testing.assert_array_equal(found.sites["east"].totals["confusion"], confusion_matrix(alone))
    low, high = found.pooled.metrics["auc"].low, found.pooled.metrics["auc"].high
    assert low is not None
    assert high is not None
    assert low < high


def test_one_place_may_answer_for_the_sites_it_pools() -> None:
    message = shared(count=6)
    split = Message(
        {"origins": ["north", "west"]}, {**message.tensors, "origins": np.array([0, 0, 1, 1, 1, 1], np.int64)}
    )
    central = Reader(tiny.task(), 0, 3, 1, pooled=True)
    assert {name: test.description.num_examples for name, test in central.read(Answer("central", split)).items()} == {
        "north": 2,
        "west": 4,
    }
    with pytest.raises(WireError, match="speaks for"):
        READER.read(Answer("central", split))


def test_numbers_alone_give_what_a_confusion_matrix_allows() -> None:
    tests = READER.read(Answer("east", numbers())) | READER.read(Answer("west", shared("west")))
    found = READER.assessment(tests)
    assert found.values()["east"] == {"auc": 0.7, "balanced_accuracy": 0.75, "f1": 0.7, "calibration_error": None}
    assert found.pooled.metrics["auc"].value is None
    predicted = pooled({"west": shared("west")})
    counts = np.array([[3, 1], [1, 3]]) + confusion_matrix(predicted)
    rows = [(truth, said) for truth in (0, 1) for said in (0, 1) for _ in range(counts[truth, said])]
    truth, said = np.array(rows).T
    as_if = Predictions(np.eye(2)[said], truth, np.arange(len(truth)).astype(str), tiny.CLASSES)
    assert found.pooled.metrics["balanced_accuracy"].value == pytest.approx(float(balanced_accuracy(as_if)))
    assert found.pooled.metrics["f1"].value == pytest.approx(float(macro_f1(as_if)))
    assert found.pooled.num_examples == 20


def test_a_site_with_an_empty_part_counts_for_nothing() -> None:
    empty = Message(
        {"origins": []},
        {
            "probabilities": np.zeros((0, 2), np.float32),
            **{name: np.zeros(0, np.int64) for name in ("labels", "groups", "origins")},
        },
    )
    assert READER.read(Answer("east", empty)) == {}
    nothing = READER.assessment({})
    assert nothing.values() == {"pooled": dict.fromkeys(("auc", "balanced_accuracy", "f1", "calibration_error"))}


def broken() -> dict[str, Message]:
    good = shared()
    cases = {
        "nothing": Message(),
        "another site's name": Message({"origins": ["north"]}, good.tensors),
        "the name of the pool": Message({"origins": ["pooled"]}, good.tensors),
        "one name twice": Message({"origins": ["east", "east"]}, good.tensors),
        "origins of text": Message({"origins": "east"}, good.tensors),
        "origins of numbers": Message({"origins": [1]}, good.tensors),
        "metrics are a list": numbers(metrics=[1]),
        "metrics lack one": numbers(metrics={"auc": [0.5, None, None]}),
        "a metric of text": numbers(metrics={**numbers().fields["metrics"], "auc": ["<b>", None, None]}),
        "a metric above one": numbers(metrics={**numbers().fields["metrics"], "auc": [1.5, None, None]}),
        "a boolean metric": numbers(metrics={**numbers().fields["metrics"], "auc": [True, None, None]}),
        "a metric without ends": numbers(metrics={**numbers().fields["metrics"], "auc": [0.5]}),
        "a metric too many": numbers(metrics={**numbers().fields["metrics"], "<script>": [0.5, None, None]}),
        "boolean count": numbers(num_examples=True),
        "counts contradict": numbers(num_examples=9),
        "more groups than images": numbers(num_groups=9),
        "negative groups": numbers(num_groups=-1),
        "no confusion": Message(numbers().fields),
        "confusion of another shape": Message(numbers().fields, {"confusion": np.full((2, 3), 1)}),
        "confusion of floats": Message(numbers().fields, {"confusion": np.full((2, 2), 2.0)}),
        "negative confusion": Message(numbers().fields, {"confusion": np.array([[9, -1], [0, 0]])}),
    }
    damages: dict[str, tuple[str, np.ndarray]] = {
        "probabilities are NaN": ("probabilities", np.full((12, 2), np.nan, np.float32)),
        "probabilities do not sum to one": ("probabilities", np.ones((12, 2), np.float32)),
        "probabilities of another width": ("probabilities", np.full((12, 3), 1 / 3, np.float32)),
        "probabilities too few": ("probabilities", np.full((11, 2), 0.5, np.float32)),
        "probabilities flat": ("probabilities", np.full(12, 0.5, np.float32)),
        "labels out of range": ("labels", np.full(12, 2)),
        "labels of floats": ("labels", np.zeros(12)),
        "labels too few": ("labels", np.zeros(3, np.int64)),
        "origins out of range": ("origins", np.full(12, 1)),
        "origins of another length": ("origins", np.zeros(5, np.int64)),
        "groups of another length": ("groups", np.zeros(5, np.int64)),
    }
    for name, (tensor, value) in damages.items():
        cases[name] = Message(good.fields, {**good.tensors, tensor: value})
    for tensor in good.tensors:
        cases[f"no {tensor}"] = Message(good.fields, {k: v for k, v in good.tensors.items() if k != tensor})
    return cases


@pytest.mark.parametrize("message", broken().values(), ids=broken().keys())
def test_a_reply_that_cannot_be_read_is_a_wire_error(message: Message) -> None:
    with pytest.raises(WireError, match="cannot be read"):
        READER.read(Answer("east", message))


def test_no_reply_is_a_wire_error_with_its_reason() -> None:
    with pytest.raises(WireError, match="it hung"):
        READER.read(Answer("east", failure="it hung"))
