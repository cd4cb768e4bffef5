"""The page on sending less: its plans run, and what it quotes is what the program says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import tiny
from rigged import run

from wardround.errors import PlanError
from wardround.study.explain import explain, refuse
from wardround.study.spec import parse

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "send-less.md"
TEXT = PAGE.read_text()
PLANS = [tomllib.loads(block)["protect"] for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)]
SAID = [block.strip() for block in re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)]


@pytest.mark.parametrize("stages", PLANS, ids=["in the clear", "sealed"])
def test_its_plans_train(tmp_path: Path, stages: list[dict[str, object]]) -> None:
    plan = tiny.plan(rounds=1, protect=stages)
    refuse(plan)
    _, journal, _ = run(plan, tmp_path)
    assert set(journal.records[0].accepted) == set(tiny.NAMES)


def test_what_it_quotes_is_what_check_says() -> None:
    assert SAID[0] in explain(tiny.plan(protect=PLANS[0]))
    with pytest.raises(PlanError) as refused:
        refuse(tiny.plan(protect=[{"stage": "topk"}, {"stage": "quantise"}, {"stage": "masks"}]))
    assert str(refused.value) == SAID[1]


def test_top_k_of_a_real_network_takes_less_than_a_fiftieth(tmp_path: Path) -> None:
    model = {"width": 32, "dropout": 0.0}
    small = run(tiny.plan(rounds=1, model=model, protect=PLANS[0]), tmp_path / "small")[1]
    plain = run(tiny.plan(rounds=1, model=model), tmp_path / "plain")[1]
    assert plain.records[0].bytes_up > 50 * small.records[0].bytes_up


def test_scaffold_is_refused() -> None:
    with pytest.raises(PlanError, match="control variates"):
        parse({"name": "x", "algorithm": {"name": "scaffold"}, "protect": PLANS[0]}).check()


def test_the_readme_leads_to_it() -> None:
    assert "docs/how-to/send-less.md" in (PAGE.parents[2] / "README.md").read_text()
