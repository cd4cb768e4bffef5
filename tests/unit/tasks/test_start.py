"""Weights that a user supplies: the same at every party, checked before anything happens."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import tiny

from wardround.algorithms.parts import frozen_weights
from wardround.errors import PlanError
from wardround.rounds.workbench import Workbench
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import parse
from wardround.tasks.classification import by_slot, weights_of
from wardround.tasks.start import Start, start_from

Weights = dict[str, np.ndarray]


def supplied(seed: int = 7, **changes: np.ndarray) -> Weights:
    """Return another network's weights."""
    return {**by_slot(weights_of(tiny.task().build(seed))), **changes}


def written(folder: Path, weights: Weights) -> Start:
    """Write weights below a data root."""
    content = safetensors.numpy.save(weights)
    (folder / "body.safetensors").write_bytes(content)
    return Start("body.safetensors", hashlib.sha256(content).hexdigest())


def test_training_starts_from_the_file_at_every_party(tmp_path: Path) -> None:
    weights = supplied()
    start = written(tmp_path, weights)
    plan = tiny.plan(
        data={"stride_px": 16},
        training={"parts": "head"},
        start={"file": start.file, "sha256": start.sha256},
        evaluation={"every": 0, "bootstrap": 0},
    )
    run = train(plan, tmp_path / "run", tmp_path, workers=0)
    model = safetensors.numpy.load_file(run / "model.safetensors")
    frozen = {name.partition("/")[2] for name in frozen_weights(tiny.task().build(1), "head")}
    assert frozen
    for name, value in weights.items():
        assert np.array_equal(model[name], value) == (name in frozen), name
    assert RunFolder(run).plan() == plan


def test_a_head_for_other_classes_starts_at_random() -> None:
    task = tiny.task()
    network, fresh = task.build(1), weights_of(task.build(1))
    start_from(network, supplied(**{"13.weight": np.zeros((9, 24), np.float32), "13.bias": np.zeros(9, np.float32)}))
    after = weights_of(network)
    assert np.array_equal(after["net/13.weight"], fresh["net/13.weight"])
    assert not np.array_equal(after["net/1.weight"], fresh["net/1.weight"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"1.weight": np.zeros((8, 12, 5, 5), np.float32)},
        {"99.weight": np.zeros(3, np.float32)},
    ],
)
def test_a_body_of_another_network_is_refused(wrong: Weights) -> None:
    with pytest.raises(PlanError, match=next(iter(wrong))):
        start_from(tiny.task().build(1), supplied(**wrong))


def test_a_body_with_a_weight_missing_is_refused() -> None:
    weights = supplied()
    del weights["4.weight"]
    with pytest.raises(PlanError, match=r"4\.weight"):
        Workbench(tiny.task(), 1, "head", weights)


@pytest.mark.parametrize("key", ["file", "sha256"])
def test_file_and_digest_come_together(key: str) -> None:
    table = {"file": "body.safetensors", "sha256": "0" * 64}
    with pytest.raises(PlanError, match=key):
        parse({"name": "half", "start": {name: value for name, value in table.items() if name != key}})
    with pytest.raises(PlanError, match="empty"):
        Start("", "0" * 64)


def test_a_digest_is_64_digits() -> None:
    with pytest.raises(PlanError, match="64 hexadecimal"):
        Start("body.safetensors", "abc")


def test_another_file_is_refused(tmp_path: Path) -> None:
    start = written(tmp_path, supplied(7))
    written(tmp_path, supplied(8))
    with pytest.raises(PlanError, match="differs"):
        start.load(tmp_path)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="below the data root"):
        Start("body.safetensors", "0" * 64).load(tmp_path)


def test_bytes_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "body.safetensors").write_bytes(b"\x80\x04pickle")
    start = Start("body.safetensors", hashlib.sha256(b"\x80\x04pickle").hexdigest())
    with pytest.raises(PlanError, match="no safetensors file"):
        start.load(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    start = written(tmp_path, supplied(**{"2.bias": np.full(8, np.nan, np.float32)}))
    with pytest.raises(PlanError, match="NaN"):
        start.load(tmp_path)
