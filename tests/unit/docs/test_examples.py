"""The examples run as they are."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_comparing_two_algorithms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["example", str(tmp_path / "runs")])
    runpy.run_path(str(EXAMPLES / "compare_two_algorithms.py"), run_name="__main__")
    report = (tmp_path / "runs" / "fedavg" / "report.html").read_text()
    assert "FedBN" in report


def test_every_example_is_run_here() -> None:
    assert [path.name for path in sorted(EXAMPLES.glob("*.py"))] == ["compare_two_algorithms.py"]
