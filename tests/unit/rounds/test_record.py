"""Round records: JSON there and back, and what they add up."""

from __future__ import annotations

import json
import math

import pytest

from wardround.rounds.record import RoundRecord

SAID = {"num_examples": 10, "loss": 0.5, "seconds": 0.1, "remembers": True, "bytes": 5}
RECORD = RoundRecord(
    round=3,
    cohort=("a", "b", "c"),
    accepted={"a": SAID, "b": {**SAID, "num_examples": 30, "loss": 1.5, "remembers": False}},
    failed={"c": "it hung"},
    events=("a was mended",),
    validation={"pooled": {"auc": None, "f1": 0.5}},
    bytes_down=10,
    bytes_up=10,
    seconds={"train": 0.5},
    state_digest="00",
)


def test_a_record_survives_json() -> None:
    assert RoundRecord.from_json(json.loads(json.dumps(RECORD.to_json()))) == RECORD


@pytest.mark.parametrize("change", [{"extra": 1}, {"round": None}])
def test_other_fields_are_refused(change: dict[str, object]) -> None:
    values = RECORD.to_json() | change
    if "round" in change:
        del values["round"]
    with pytest.raises(TypeError):
        RoundRecord.from_json(values)


def test_the_loss_is_weighted_by_examples() -> None:
    assert RECORD.loss == pytest.approx((10 * 0.5 + 30 * 1.5) / 40)
    assert math.isnan(RECORD.having(accepted={}).loss)


def test_memories_are_those_of_sites_that_remember() -> None:
    assert RECORD.memories == {"a": 3}


def test_having_changes_a_copy() -> None:
    assert RECORD.having(round=4).round == 4
    assert RECORD.round == 3
