"""``wardround leave-out``: what it prints, what it leaves, and where it stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import wardround

from wardround.errors import RunFolderError
from wardround.report import write_leave_out
from wardround.study.leave_out import leave_out
from wardround.study.spec import load

PLAN = """name = "plain"
rounds = 1
[data]
stride_px = 16
[model]
width = 8
[training]
steps = 1
[evaluation]
every = 0
bootstrap = 5
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "plain.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def table(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of one run, and a second row that somebody else might have made."""
    out = tmp_path_factory.mktemp("left") / "out"
    return leave_out([load(plan)], out, sites=["north-east"], workers=0)


def test_it_ends_in_one_table_and_the_folder(capsys: pytest.CaptureFixture[str], plan: Path, table: Path) -> None:
    words = ("--out", table.parent, "--sites", "north-east", "--workers", 0, "--resume")
    said = wardround(capsys, "leave-out", plan, *words)
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[-1] == str(table.parent)
    assert lines[0].split() == ["AUC", "north-east", "mean", "worst"]
    value = f"{json.loads(table.read_text())['plans'][0]['sites']['north-east']['metrics']['auc']:.3f}"
    assert lines[1].split() == ["plain", value, value, value]
    assert "best mean AUC" not in said.out
    assert "At the next hospital" in table.with_suffix(".html").read_text()
    assert (table.parent / "plain" / "without-north-east" / "report.html").is_file()


def test_of_several_plans_it_names_the_best_and_those_whose_weights_stayed(table: Path, tmp_path: Path) -> None:
    found = json.loads(table.read_text())
    first = found["plans"][0]
    first["sites"]["north-east"]["run"] = str(table.parent / "plain" / "without-north-east")
    second = json.loads(json.dumps(first))
    second["name"] = "<script>norms"
    second["sites"]["north-east"]["personal"] = 2
    found |= {"plans": [first, second], "chosen": "<script>norms", "not_left_out": {"east": "it is alone"}}
    found["kept_for_later"] = ["west"]
    path = tmp_path / "leave-out.json"
    path.write_text(json.dumps(found))
    text = write_leave_out(path)
    assert "best mean AUC: <script>norms" in text
    assert "east cannot be left out: it is alone" in text
    page = path.with_suffix(".html").read_text()
    assert "<script>" not in page
    for said in ("script&gt;norms: some weights stay", "east cannot be left out: it is alone", "no number here: west"):
        assert said in page


def test_a_folder_that_is_there_and_a_site_that_is_not_are_one_sentence(
    capsys: pytest.CaptureFixture[str], plan: Path, table: Path
) -> None:
    said = wardround(capsys, "leave-out", plan, "--out", table.parent, "--workers", 0)
    assert said.code == 2
    assert "--resume" in said.sentence
    said = wardround(capsys, "leave-out", plan, "--sites", "nowhere", "--workers", 0)
    assert said.code == 2
    assert "'nowhere' does not train" in said.sentence


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.pop("plans"),
        lambda found: found.update(schema=2),
        lambda found: found["plans"][0].pop("mean"),
        lambda found: found["plans"][0]["sites"]["north-east"].pop("metrics"),
        lambda found: found["plans"][0]["sites"]["north-east"]["metrics"].update(auc="high"),
        lambda found: found["plans"][0].update(sites={}),
    ],
)
def test_a_damaged_table_is_one_sentence(table: Path, tmp_path: Path, damage: Callable[[Any], Any]) -> None:
    found = json.loads(table.read_text())
    damage(found)
    path = tmp_path / "leave-out.json"
    path.write_text(json.dumps(found))
    with pytest.raises(RunFolderError):
        write_leave_out(path)
    path.write_text("{")
    with pytest.raises(RunFolderError, match="is damaged"):
        write_leave_out(path)
    with pytest.raises(RunFolderError, match="cannot be read"):
        write_leave_out(tmp_path / "none.json")
