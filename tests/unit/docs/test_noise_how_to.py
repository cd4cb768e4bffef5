"""The how-to on noise does what it says."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

from wardround.protect.trust import Budget, Trust
from wardround.report import write_report
from wardround.rounds.plan import Plan
from wardround.study.explain import explain
from wardround.study.run import train
from wardround.study.spec import parse

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "add-noise.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", HOW_TO.read_text(), re.DOTALL)


def plan() -> Plan:
    return parse(tomllib.loads(blocks("toml")[0]))


def test_check_says_what_the_page_says() -> None:
    plan().check(4)
    text = explain(plan())
    for line in blocks("text")[0].splitlines():
        assert line in text


def test_the_plan_trains_and_its_claim_is_in_every_place_that_is_named(tmp_path: Path) -> None:
    run = train(replace(plan(), rounds=1), tmp_path / "run", workers=0)
    summary = json.loads((run / "summary.json").read_text())
    [line] = (run / "rounds.jsonl").read_text().splitlines()
    told = json.loads(line)["privacy"]
    assert summary["privacy"]["epsilon"] == told["epsilon"] > 0
    assert (summary["privacy"]["delta"], summary["privacy"]["unit"]) == (1e-5, "image")
    assert len(told["spent"]) == 4
    assert summary["privacy"]["covered"] == ["noisy sums of updates", "models"]
    page = write_report(run).read_text()
    assert f"(ε, δ) = ({told['epsilon']:.3g}, 1e-05) for each image" in page


def test_the_budget_is_one(tmp_path: Path) -> None:
    path = tmp_path / "trust.toml"
    path.write_text('site = "north"\n' + blocks("toml")[1])
    path.chmod(0o600)
    assert Trust.load(path).budget == Budget("image", 3.0, 1e-5)
