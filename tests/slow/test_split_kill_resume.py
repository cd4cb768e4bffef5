"""Rounds over a cut network whose processes are killed in their middle: resumed, they end in the same bytes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from test_kill_resume import Running, lines, model, starting

pytestmark = pytest.mark.slow

PLAN = """name = "cut"
rounds = 3
[data]
stride_px = 16
[task]
name = "segmentation"
[model]
name = "unet"
widths = [8, 16]
[algorithm]
name = "{algorithm}"
[split]
wire = "int8"
[training]
steps = 60
batch_size = 8
momentum = 0.9
keep_optimiser = true
[evaluation]
every = 0
bootstrap = 0
"""


@pytest.mark.parametrize("algorithm", ["interleaved", "splitfed_v1"])
def test_a_run_killed_in_the_middle_of_a_round_resumes_to_the_same_bytes(tmp_path: Path, algorithm: str) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(algorithm=algorithm))
    undisturbed = Running(plan, tmp_path / "undisturbed", "--workers", "0")
    code, _, err = undisturbed.end()
    assert code == 0, err
    with starting(plan, tmp_path / "run") as begin:
        running = begin()
        running.wait_for(1)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        done = len(lines(running.run))
        assert 1 <= done < 3, "it was not killed in the middle"
        code, _, err = begin("--resume").end()
        assert code == 0, err
    assert model(tmp_path / "run") == model(tmp_path / "undisturbed")
    assert [line["split"] for line in lines(tmp_path / "run")] == [
        line["split"] for line in lines(tmp_path / "undisturbed")
    ]


def test_the_sites_of_a_killed_worker_are_lost_in_that_round_and_told(tmp_path: Path) -> None:
    """They were in the middle of a conversation, where no call can be repeated; half of four is below the quorum."""
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(algorithm="splitfed_v1"))
    with starting(plan, tmp_path / "run") as begin:
        running = begin()
        running.wait_for(1)
        running.busy_worker().kill()
        code, _, err = running.end()
        assert code == 1
        assert "its round must begin anew" in err
        assert "go on with --resume" in err
        code, _, err = begin("--resume").end()
        assert code == 0, err
    assert len(lines(tmp_path / "run")) == 3
    assert not any(line["failed"] for line in lines(tmp_path / "run"))
