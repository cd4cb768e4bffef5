"""A run from its plan to its folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import tiny
import torch

from wardround.errors import PlanError, RunError, RunFolderError
from wardround.fabric.base import Handler
from wardround.fabric.local import LocalFabric
from wardround.rounds.listener import Silent
from wardround.study.build import sites_of
from wardround.study.engines import choose
from wardround.study.folder import RunFolder
from wardround.study.run import folder_of, run_on_fabric, run_plan, train
from wardround.study.spec import to_json
from wardround.tasks.inputs import to_input

PLAN = tiny.plan(data={"stride_px": 16}, evaluation={"every": 1, "bootstrap": 5})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(PLAN, tmp_path_factory.mktemp("runs") / "run", workers=0)


def test_the_folder_is_complete(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        "plan.toml",
        "rounds.jsonl",
        "summary.json",
        "model.safetensors",
        "predictions.safetensors",
        "ledger",
    }
    folder = RunFolder(run)
    assert folder.plan() == PLAN
    assert folder.is_done()
    assert [record.round for record in folder.records()] == [0, 1]
    assert not folder.store_root.exists()


def test_the_saved_model_makes_the_saved_predictions(run: Path) -> None:
    weights = safetensors.numpy.load_file(run / "model.safetensors")
    network = PLAN.model.build(3, 2)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    network.eval()
    saved = safetensors.numpy.load_file(run / "predictions.safetensors")
    tests = [data.test for data in sites_of(PLAN, None).values()]
    images = np.concatenate([test.batch(slice(None)) for test in tests])
    with torch.no_grad():
        probabilities = torch.softmax(network(to_input(images)), dim=1).numpy()
    np.testing.assert_allclose(probabilities, saved["probabilities"], atol=1e-5)
    np.testing.assert_array_equal(saved["labels"], np.concatenate([test.labels for test in tests]))
    np.testing.assert_array_equal(saved["sites"], np.repeat(np.arange(4), [len(test) for test in tests]))


def test_the_model_says_what_it_is(run: Path) -> None:
    with safetensors.safe_open(run / "model.safetensors", framework="numpy") as opened:
        facts = json.loads(opened.metadata()["wardround"])
    assert facts == {"classes": ["little DAB", "much DAB"], "channels": 3, "personal": []}
    digest = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    assert RunFolder(run).summary()["model_sha256"] == digest


def test_no_engine_takes_the_finished_run_of_another_plan_for_its_own(run: Path) -> None:
    other = replace(PLAN, seed=PLAN.seed + 1)
    with pytest.raises(RunFolderError, match="another plan"):
        run_on_fabric(to_json(other), LocalFabric((), _unused), str(run), True)
    with pytest.raises(RunFolderError, match="another plan"):
        choose("flare-poc", None)(other, run, None, True, Silent())
    assert choose("flare-poc", None)(PLAN, run, None, True, Silent()) == run.absolute()


def _unused(name: str) -> Handler:
    raise AssertionError(f"site {name} must not be opened")


def test_a_finished_run_stays_as_it_is(run: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    assert train(PLAN, run, resume=True) == run
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before
    with pytest.raises(RunFolderError, match="add --resume"):
        train(PLAN, run)
    with pytest.raises(RunFolderError, match="another plan"):
        train(tiny.plan(seed=9), run, resume=True)


def test_the_default_folder_is_named_by_plan_and_digest() -> None:
    assert folder_of(PLAN, None) == Path("runs") / f"tiny-{PLAN.digest()[:8]}"
    assert folder_of(PLAN, Path("x")) == Path("x")


def test_a_run_that_stops_says_why_and_goes_on_later(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def refuse(site: str) -> object:
        raise RunError("the hospital burnt down")

    broken = LocalFabric(tiny.NAMES, refuse)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="burnt down"):
        run_plan(PLAN, broken, path, False, Silent())
    summary = RunFolder(path).summary()
    assert summary["status"] == "failed"
    assert "burnt down" in summary["reason"]
    run_on_fabric(to_json(PLAN), tiny.fabric(PLAN, tmp_path / "stores"), str(path), True)
    assert RunFolder(path).is_done()
    assert not list(path.glob("checkpoint*"))
    run_on_fabric(to_json(PLAN), LocalFabric(tiny.NAMES, refuse), str(path), True)  # type: ignore[arg-type]


def test_without_predictions_there_is_no_file_of_them(tmp_path: Path) -> None:
    plan = tiny.plan(data={"stride_px": 16}, evaluation={"share": "metrics", "bootstrap": 5})
    path = train(plan, tmp_path / "run", workers=0)
    assert not (path / "predictions.safetensors").exists()
    summary = RunFolder(path).summary()
    assert summary["metrics"]["pooled"]["auc"] is None
    assert summary["metrics"]["pooled"]["f1"] is not None
    assert "label_counts" not in summary["sites"]["north-east"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"sites_per_round": 5}, "only 4 sites train"), ({"timeout_s": 1.0}, "timeout_s cannot be kept")],
)
def test_what_is_refused_writes_nothing(tmp_path: Path, settings: dict[str, float], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        train(tiny.plan(data={"stride_px": 16}, **settings), tmp_path / "run", workers=0)
    assert list(tmp_path.iterdir()) == []


def test_central_reports_on_the_same_sites_as_the_federation(run: Path, tmp_path: Path) -> None:
    plan = tiny.plan(data={"stride_px": 16}, algorithm={"name": "central"}, evaluation={"bootstrap": 5})
    central = RunFolder(train(plan, tmp_path / "run")).summary()
    federated = RunFolder(run).summary()
    assert set(central["metrics"]["sites"]) == set(federated["metrics"]["sites"])
    assert central["tested"] == federated["tested"]
