"""Processes killed in the middle of a compressed run: what was not sent is not lost, to the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_kill_resume import Running, digests, finish, kill, lines, model, starting

pytestmark = pytest.mark.slow

PLAN = """name = "compressed"
rounds = 4
[data]
stride_px = 16
[model]
width = 8
dropout = 0.3
[algorithm]
name = "fedbn"
[training]
steps = 150
batch_size = 32
momentum = 0.9
keep_optimiser = true
[evaluation]
every = 2
bootstrap = 10
"""
STAGES = {
    "topk, int8": ("topk", "int8"),
    "randomk, int8": ("randomk", "int8"),
    "sealed": ("randomk", "clip", "quantise", "masks", "homomorphic"),
}


@pytest.fixture(scope="module", params=STAGES)
def plan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text(PLAN + "".join(f'[[protect]]\nstage = "{stage}"\n' for stage in STAGES[request.param]))
    return path


@pytest.fixture(scope="module")
def undisturbed(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    running = Running(plan, tmp_path_factory.mktemp("undisturbed") / "run", "--workers", "0")
    finish(running)
    return running.run


@pytest.fixture
def start(tmp_path: Path, plan: Path) -> Iterator[Callable[..., Running]]:
    with starting(plan, tmp_path / "run") as begin:
        yield begin


def test_a_killed_coordinator_resumes_to_the_same_bytes(start: Callable[..., Running], undisturbed: Path) -> None:
    for rounds in (1, 3):
        kill(start("--resume"), rounds, 4)
    running = start("--resume")
    finish(running)
    assert digests(running.run) == digests(undisturbed)
    assert model(running.run) == model(undisturbed)


def test_a_killed_site_goes_on_from_its_residual(start: Callable[..., Running], undisturbed: Path) -> None:
    running = start()
    running.wait_for(2)
    running.busy_worker().kill()
    finish(running)
    assert model(running.run) == model(undisturbed)
    assert any("died during" in event for line in lines(running.run) for event in line["events"])
