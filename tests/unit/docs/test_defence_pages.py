"""The pages on defences name every one, and the template's table is a plan."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from wardround.algorithms.defences import DEFENCES
from wardround.attacks.inversion.cleanup import CLEAN_UPS
from wardround.study.spec import parse

ROOT = Path(__file__).parents[3]
EXPLAINED = (ROOT / "docs" / "explanation" / "what-updates-give-away.md").read_text()
TEMPLATE = (ROOT / "src" / "wardround" / "study" / "template.toml").read_text()


@pytest.mark.parametrize("name", [name for name in DEFENCES if name != "none"])
def test_every_defence_is_explained_without_a_promise(name: str) -> None:
    assert f"`{name}`" in EXPLAINED
    assert "measured, nothing else" in EXPLAINED
    assert "(epsilon, delta)" in str(DEFENCES[name].__doc__) or name in ("pruning", "soteria", "censor")


def test_the_page_counts_the_clean_ups() -> None:
    assert "eight clean-ups" in EXPLAINED
    assert len(CLEAN_UPS) + 2 == 8


def test_the_template_s_defence_is_a_plan_once_its_comment_signs_are_off() -> None:
    lines = TEMPLATE.splitlines()
    start = lines.index("#   [defence]")
    block = "\n".join(line.removeprefix("#").strip() for line in lines[start : lines.index("", start)])
    plan = parse({"name": "template", **tomllib.loads(block)})
    assert plan.defence == DEFENCES["matched_noise"]()
