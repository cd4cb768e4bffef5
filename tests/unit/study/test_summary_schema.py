"""The published schema fits what runs write, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from wardround.errors import RunError
from wardround.fabric.local import LocalFabric
from wardround.rounds.listener import Silent
from wardround.study.run import run_plan, train
from wardround.study.spec import parse

Summary = dict[str, Any]


@pytest.fixture(scope="module")
def schema() -> Summary:
    found: Summary = json.loads((files("wardround.study") / "summary.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.fixture(scope="module")
def validator(schema: Summary) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema)


def plan_of(share: str) -> Any:
    return parse(
        {
            "name": "slide",
            "rounds": 1,
            "data": {"source": "slide"},
            "training": {"steps": 1},
            "evaluation": {"bootstrap": 20, "share": share},
        }
    )


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    run = train(plan_of("predictions"), out=tmp_path_factory.mktemp("runs") / "run", workers=0)
    found: Summary = json.loads((run / "summary.json").read_text())
    return found


def test_a_run_that_is_done_fits(validator: jsonschema.Draft202012Validator, summary: Summary) -> None:
    validator.validate(summary)
    floor = {"auc": 0.6, "low": 0.55, "high": 0.65, "what": "linear model on mean colour"}
    validator.validate({**summary, "floor": floor, "beside": ["../central"]})


def test_a_run_that_shares_only_metrics_fits(validator: jsonschema.Draft202012Validator, tmp_path: Path) -> None:
    run = train(plan_of("metrics"), out=tmp_path / "run", workers=0)
    found = json.loads((run / "summary.json").read_text())
    assert found["metrics"]["pooled"]["auc"] is None
    assert "label_counts" not in found["sites"]["north-east"]
    validator.validate(found)


def test_a_run_that_failed_fits(validator: jsonschema.Draft202012Validator, tmp_path: Path) -> None:
    class Absent:
        def handle(self, op: str, body: Any) -> Any:
            raise ValueError("the disk is gone")

    fabric = LocalFabric(("north",), lambda name: Absent())
    with pytest.raises(RunError):
        run_plan(plan_of("metrics"), fabric, tmp_path / "run", resume=False, listener=Silent())
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert found["status"] == "failed"
    validator.validate(found)


def without(*keys: str) -> Callable[[Summary], None]:
    def change(summary: Summary) -> None:
        for key in keys[:-1]:
            summary = summary[key]
        del summary[keys[-1]]

    return change


def having(value: Any, *keys: str) -> Callable[[Summary], None]:
    def change(summary: Summary) -> None:
        for key in keys[:-1]:
            summary = summary[key]
        summary[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        without("metrics"),
        without("metrics", "pooled"),
        without("metrics", "sites", "north-east", "auc"),
        without("privacy", "not_covered"),
        without("versions", "wardround"),
        having(2, "schema"),
        having("running", "status"),
        having("failed", "status"),
        having(1.5, "metrics", "pooled", "auc"),
        having("0.5", "metrics", "pooled", "auc"),
        having([0.1], "intervals", "pooled", "auc"),
        having({}, "metrics", "extra"),
        having(-1, "bytes", "up"),
        having(1.5, "seed"),
        having("abc", "model_sha256"),
        having("north", "sites", "north-east", "name"),
        having("why", "reason"),
        having(1, "unknown"),
        having({"auc": 0.6}, "floor"),
        having([["a"]], "confusion", "north-east"),
    ],
)
def test_what_is_wrong_does_not_fit(
    validator: jsonschema.Draft202012Validator, summary: Summary, change: Callable[[Summary], None]
) -> None:
    wrong = copy.deepcopy(summary)
    change(wrong)
    assert not validator.is_valid(wrong)
