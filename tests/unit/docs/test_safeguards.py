"""The page of safeguards cites rules that there are, and promises nothing in the name of a law."""

from __future__ import annotations

import re
from pathlib import Path

from wardround.checker import RULES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "explanation" / "safeguards.md").read_text()


def test_the_word_does_not_occur() -> None:
    for page in [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]:
        assert "compliant" not in page.read_text().lower(), page


def test_every_rule_that_it_cites_is_there() -> None:
    cited = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", PAGE))
    assert cited <= RULES.keys(), cited - RULES.keys()
    assert len(cited) >= 20


def test_every_safeguard_says_what_nobody_can_verify() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and ("§" in line or "Art." in line)]
    assert len(rows) >= 20
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 4, row
        assert len(cells[3]) > 5, row


def test_the_readme_leads_to_it() -> None:
    assert "docs/explanation/safeguards.md" in (ROOT / "README.md").read_text()
