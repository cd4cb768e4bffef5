"""The plan reference names every key of every table, with its default."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from wardround.algorithms import Training
from wardround.data.harmonise import Harmonise
from wardround.data.sites import Parts
from wardround.privacy import Privacy, epsilon_of
from wardround.protect.clip import Clip
from wardround.protect.pipeline import STAGES, Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.rounds.evaluation import Evaluation
from wardround.rounds.groups import Groups
from wardround.rounds.ledger_rules import COSIGNERS, LedgerRules
from wardround.rounds.split.rules import SplitRules
from wardround.study.spec import CHOICES, load, parse
from wardround.tasks.start import Start

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "reference" / "plan.md"
TEMPLATE = Path(__file__).parents[3] / "src" / "wardround" / "study" / "template.toml"
CHOSEN = [(f'`{key} = "{name}"`', kind) for key, registry, _ in CHOICES.values() for name, kind in registry.items()]


TABLES = [
    ("## `[training]`", Training),
    ("## `[start]`", Start),
    ("## `[data.parts]`", Parts),
    ("## `[data.harmonise]`", Harmonise),
    ("## `[evaluation]`", Evaluation),
    ("## `[ledger]`", LedgerRules),
    ("## `[privacy]`", Privacy),
    ("## `[split]`", SplitRules),
    ("## `[groups]`", Groups),
]


def row_of(section: str, key: str) -> list[str]:
    """Return the cells of a key's row."""
    row = next((line for line in section.splitlines() if line.startswith(f"| `{key}` |")), "| | |")
    return [cell.strip() for cell in row.strip("|").split(" | ")]


@pytest.mark.parametrize(("heading", "kind"), [*CHOSEN, *TABLES])
def test_every_key_is_documented_with_its_meaning(heading: str, kind: type) -> None:
    text = PAGE.read_text()
    assert heading in text
    section = text[text.index(heading) :]
    for field in dataclasses.fields(kind):
        assert len(row_of(section, field.name)[-1]) > 3, f"{field.name} is not explained"


@pytest.mark.parametrize(("name", "kind"), STAGES.items())
def test_stages_have_the_keys_and_defaults_that_are_documented(name: str, kind: type) -> None:
    text = PAGE.read_text()
    start = text.index(f'### `stage = "{name}"`')
    section = text[start : text.index("\n### ", start + 1)]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert documented == [field.name for field in dataclasses.fields(kind)]
    for field in dataclasses.fields(kind):
        assert row_of(section, field.name)[1] == f"`{json.dumps(field.default)}`"


def test_the_ledger_s_keys_have_the_defaults_and_values_that_are_documented() -> None:
    text = PAGE.read_text()
    section = text[text.index("## `[ledger]`") : text.index("## `[[protect]]`")]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [one.name for one in dataclasses.fields(LedgerRules)]
    for one in dataclasses.fields(LedgerRules):
        assert row_of(section, one.name)[1] == f"`{json.dumps(one.default)}`"
    assert all(word in row_of(section, "cosign")[2] for word in COSIGNERS)


def test_the_template_s_ledger_is_the_default_once_its_comment_signs_are_off() -> None:
    lines = TEMPLATE.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# [ledger]"))
    block = lines[start : lines.index("", start)]
    table = tomllib.loads("\n".join(line.removeprefix("# ") for line in block))
    assert table == {"ledger": dataclasses.asdict(LedgerRules())}


def test_who_opens_is_documented_at_the_top() -> None:
    cells = row_of(PAGE.read_text().split("## `[data]`")[0], "open_at")
    assert cells[1] == f'`"{Pipeline().open_at}"`'
    assert all(word in cells[2] for word in ("sites", "coordinator", "auto"))


def test_the_stages_example_is_a_plan() -> None:
    block = next(found for found in blocks(PAGE, "toml") if "[[protect]]" in found)
    plan = parse({"name": "example", **tomllib.loads(block)})
    plan.check()
    assert plan.pipeline.opens_at_sites


def test_the_five_key_example_is_a_plan(tmp_path: Path) -> None:
    [block] = blocks(PAGE, "json")
    path = tmp_path / "five.json"
    path.write_text(block)
    plan = load(path)
    plan.check()
    assert plan.pipeline.quantise is not None
    assert plan.pipeline.quantise.bits == json.loads(block)["he_precision"]


def test_the_template_is_a_plan() -> None:
    plan = load(TEMPLATE)
    assert plan.name == "my-first-run"
    assert plan.pipeline.stages == ()


def test_the_template_s_stages_are_a_plan_once_their_comment_signs_are_off() -> None:
    head, mark, stages = TEMPLATE.read_text().partition("#   [[protect]]")
    plan = parse(tomllib.loads(head + "\n".join(line.removeprefix("#") for line in (mark + stages).splitlines())))
    plan.check()
    assert [type(stage) for stage in plan.pipeline.stages] == [Clip, Quantise, Masks, Homomorphic]
    assert plan.pipeline.opens_at_sites


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language on a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_privacy_example_is_a_plan_whose_noise_meets_its_claim() -> None:
    block = next(found for found in blocks(PAGE, "toml") if "[privacy]" in found)
    plan = parse({"name": "example", **tomllib.loads(block)})
    plan.check()
    assert plan.guarantee is not None
    assert plan.privacy is not None
    spent = Counter(plan.guarantee.events_of_round() * plan.rounds)
    assert 0.99 * plan.privacy.epsilon < epsilon_of(spent, plan.privacy.delta) <= plan.privacy.epsilon
