"""What the pages say of the ledger is what the code does."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from wardround.ledger.entries import ENTRIES
from wardround.ledger.quorum import quorum

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "explanation" / "ledger.md"
REFERENCE = ROOT / "docs" / "reference" / "run-folder.md"
SCHEMA = ROOT / "src" / "wardround" / "study" / "summary.schema.json"


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_quorum_is_the_one_in_the_table() -> None:
    text = PAGE.read_text()
    sites, _, needed, dishonest = rows(text[text.index("<!-- quorum") : text.index("<!-- end -->")])
    numbers = [int(cell) for cell in sites[1:]]
    assert numbers == list(range(2, 11))
    assert [int(cell) for cell in needed[1:]] == [quorum(number) for number in numbers]
    # Fewer than a third: the largest whole number below n / 3.
    assert [int(cell) for cell in dishonest[1:]] == [(number - 1) // 3 for number in numbers]


def test_every_kind_of_entry_is_in_the_reference_with_all_that_it_holds() -> None:
    text = REFERENCE.read_text()
    section = text[text.index("## `ledger/`") : text.index("## `summary.json`")]
    documented = {row[0].strip("`"): row[2] for row in rows(section) if row[0].strip("`") in ENTRIES}
    assert list(documented) == [kind for kind in documented if kind in ENTRIES]
    assert set(documented) == set(ENTRIES)
    for kind, entry in ENTRIES.items():
        named = set(re.findall(r"`(\w+)`", documented[kind]))
        assert {one.name for one in dataclasses.fields(entry)} <= named, kind


def test_every_key_of_the_summary_s_ledger_is_in_the_reference() -> None:
    [done] = re.findall(r'"ledger": (\{.*?\n        \})', SCHEMA.read_text(), re.DOTALL)
    keys = set(json.loads(done)["properties"]) - {"bytes"}
    text = REFERENCE.read_text()
    assert keys
    assert all(f"`ledger.{key}`" in text for key in (*keys, "bytes.up", "bytes.down"))
