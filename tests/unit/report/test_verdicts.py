"""The page says what screens said of whom, and what the attacks in a simulation came to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from pages import page

from wardround.errors import RunFolderError
from wardround.report.reading import read_run
from wardround.report.verdicts import judged_rows, trust_panel
from wardround.study.run import train
from wardround.study.spec import parse

PLAN: dict[str, Any] = {
    "name": "judged",
    "rounds": 3,
    "data": {"stride_px": 16, "sites": {"by": "iid", "sites": 4}},
    "model": {"width": 8},
    "training": {"steps": 1, "batch_size": 8},
    "evaluation": {"every": 0, "bootstrap": 0},
    "screen": [{"name": "norms", "times": 2.0}],
    "attack": [
        {"kind": "label_flip", "sites": ["site-1"], "source": "much DAB", "target": "little DAB", "from_round": 1},
        {"kind": "scale", "sites": ["site-1"], "times": 50.0, "from_round": 1},
    ],
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(parse(PLAN), tmp_path_factory.mktemp("judged") / "run", workers=0)


def test_who_was_left_out_stands_there_once_with_its_reason(judged: Path) -> None:
    rows = {row.site: row for row in judged_rows(read_run(judged))}
    assert list(rows) == ["site-1 (attacks from round 1)", "site-2", "site-3", "site-4"]
    guilty = rows["site-1 (attacks from round 1)"]
    assert guilty.left_out == "1–2"
    assert "is the most that screen norms lets through" in guilty.reason
    assert not rows["site-2"].left_out
    text = page(judged).text
    assert "Screens and attacks" in text
    assert text.count("is the most that screen norms lets through") == 1
    assert "None: every site that was asked answered well in every round." in text


def test_the_attack_s_success_is_that_of_the_summary(judged: Path) -> None:
    (said,) = json.loads((judged / "summary.json").read_text())["attacks"]
    assert said["victims"] > 20
    assert f"label_flip site-1 {said['success']:.3f} {said['victims']}" in page(judged).text


def test_the_figure_says_in_words_what_it_shows(judged: Path) -> None:
    panel = trust_panel(read_run(judged))
    assert "site-1: 0.333 in the mean, left out in 2 rounds." in str(panel.svg)
    assert "plays a malicious site" in panel.caption


def test_where_nobody_judges_there_is_no_such_section(judged: Path) -> None:
    run = read_run(judged)
    quiet = dataclasses.replace(run, records=[record.having(judged={}) for record in run.records])
    assert judged_rows(quiet) == []
    assert trust_panel(quiet).svg == ""


def test_a_damaged_attack_is_refused(judged: Path, tmp_path: Path) -> None:
    for name in ("plan.toml", "rounds.jsonl"):
        (tmp_path / name).write_bytes((judged / name).read_bytes())
    summary = json.loads((judged / "summary.json").read_text())
    summary["attacks"][0]["victims"] = -1
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(RunFolderError, match=r"summary\.json"):
        read_run(tmp_path)
