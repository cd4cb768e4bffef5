"""The plan reference names every key of every table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from wardround.algorithms import Training
from wardround.data.sites import Parts
from wardround.rounds.plan import Evaluation
from wardround.study.spec import CHOICES, load

DOCS = Path(__file__).parents[3] / "docs"
CHOSEN = [(f'`{key} = "{name}"`', kind) for key, registry, _ in CHOICES.values() for name, kind in registry.items()]


TABLES = [("`[training]`", Training), ("`[data.parts]`", Parts), ("`[evaluation]`", Evaluation)]


@pytest.mark.parametrize(("heading", "kind"), [*CHOSEN, *TABLES])
def test_every_key_is_documented_with_its_meaning(heading: str, kind: type) -> None:
    text = (DOCS / "reference" / "plan.md").read_text()
    assert heading in text
    section = text[text.index(heading) :]
    for field in dataclasses.fields(kind):
        row = next((line for line in section.splitlines() if line.startswith(f"| `{field.name}` |")), "")
        assert len(row.rsplit("|", 2)[1].strip()) > 3, f"{field.name} is not explained"


def test_the_template_is_a_plan() -> None:
    template = Path(__file__).parents[3] / "src" / "wardround" / "study" / "template.toml"
    assert load(template).name == "my-first-run"
