"""The page on cutting a network: its plan runs, and what it quotes is what the program says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import cut_sites
import pytest

from wardround.errors import PlanError
from wardround.study.explain import explain, refuse
from wardround.study.spec import parse

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "cut-a-network.md"
TEXT = PAGE.read_text()
PLAN, EVERY_STEP, SEAL, HOST = (tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
SAID = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("table", [PLAN, EVERY_STEP], ids=["interleaved", "every step"])
@pytest.mark.parametrize("extra", [{}, SEAL], ids=["in the clear", "sealed"])
def test_its_plans_train(tmp_path: Path, table: dict[str, Any], extra: dict[str, Any]) -> None:
    plan = parse({**table, **extra, "rounds": 1, "evaluation": {"every": 0, "bootstrap": 0}})
    refuse(plan)
    _, journal, _ = cut_sites.run(plan, tmp_path)
    assert len(journal.records[0].accepted) == 3


def test_what_it_quotes_is_what_check_says() -> None:
    assert SAID[0] in explain(parse(PLAN))


def test_between_hospitals_the_plan_must_say_who_serves_the_body() -> None:
    with pytest.raises(PlanError, match="both-roles"):
        parse(PLAN).check(deployed=True)
    parse({**PLAN, "split": {**PLAN["split"], **HOST["split"]}}).check(deployed=True)
