"""The configuration of a published system, exactly as written, from the command line to the summary."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

AS_WRITTEN = '{"rounds": 100, "clients_per_round": 3, "learning_rate": 0.001, "dp_epsilon": 1.2, "he_precision": 32}'
MOST_S = 15 * 60


def test_it_runs_as_it_is_written_within_a_quarter_of_an_hour(tmp_path: Path) -> None:
    plan = tmp_path / "five.json"
    plan.write_text(AS_WRITTEN)
    command = [sys.executable, "-c", "from wardround.cli.main import main; main()", "train", str(plan)]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, timeout=MOST_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < MOST_S
    records = [json.loads(line) for line in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]
    assert len(records) == 100
    assert {len(record["cohort"]) for record in records} == {3}
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert 0 < summary["privacy"]["epsilon"] <= 1.2
    assert (summary["privacy"]["delta"], summary["privacy"]["unit"]) == (1e-5, "image")
    assert summary["metrics"]["pooled"]["auc"] > 0.55
