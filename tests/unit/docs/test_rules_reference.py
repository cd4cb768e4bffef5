"""The page of rules is the registry's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wardround.checker import RULES
from wardround.checker.page import page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rules.md"


def test_the_page_is_what_the_registry_writes() -> None:
    assert PAGE.read_text() == page()
    for name, rule in RULES.items():
        assert f"| `{name}` | {rule.reason}. | {rule.remedy}. |" in page()


def test_the_command_that_it_names_writes_it() -> None:
    command = [sys.executable, "-m", "wardround.checker.page"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == PAGE.read_text()
    assert "python -m wardround.checker.page" in done.stdout
