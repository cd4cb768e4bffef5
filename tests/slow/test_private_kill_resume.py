"""Processes killed in the middle of a private run: the same bytes, and every noise that was made is paid for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_kill_resume import Running, digests, finish, kill, lines, model

from wardround.privacy import Event
from wardround.rounds.events import events_of

pytestmark = pytest.mark.slow

ROUNDS, KILLS = 4, (1, 3)
PLAN = """name = "private"
rounds = 4
[data]
stride_px = 16
[model]
width = 8
[algorithm]
name = "dpsgd"
sampling_rate = 0.5
expected_units = 60.0
{noise}
[training]
{training}
[aggregator]
weighting = "uniform"
[privacy]
unit = "image"
noise_multiplier = 2.0
delta = 1e-3
randomness = "seed"
[evaluation]
every = 2
bootstrap = 10
"""
SEALED = """[[protect]]
stage = "clip"
norm = 64.0
[[protect]]
stage = "quantise"
bits = 20
[[protect]]
stage = "noise"
mechanism = "discrete_gaussian"
[[protect]]
stage = "masks"
threshold = 3
[[protect]]
stage = "homomorphic"
"""
PLANS = {
    "steps": (PLAN.format(noise="", training="steps = 25"), 25),
    "sealed": (
        PLAN.format(noise='noise = "sum"', training="learning_rate = 0.1").replace("rate = 0.5", "rate = 1.0", 1)
        + SEALED,
        1,
    ),
}


@pytest.fixture(scope="module", params=PLANS)
def plan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    text, each = PLANS[request.param]
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text(text)
    return path, each


@pytest.fixture(scope="module")
def undisturbed(plan: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    running = Running(plan[0], tmp_path_factory.mktemp("undisturbed") / "run", "--workers", "0")
    finish(running)
    return running.run


@pytest.fixture
def start(tmp_path: Path, plan: tuple[Path, int]) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(*options: str) -> Running:
        started.append(Running(plan[0], tmp_path / "run", "--workers", "2", *options))
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.wait()


def paid(run: Path) -> dict[str, tuple[Event, ...]]:
    """Return what each site wrote down."""
    books = sorted(run.with_name(run.name + ".sites").glob("*/spending.json"))
    found = {}
    for book in books:
        [values] = json.loads(book.read_text())["accounts"].values()
        found[book.parent.name] = events_of(values)
    return found


def test_a_killed_coordinator_resumes_to_the_same_bytes_and_nothing_goes_unpaid(
    start: Callable[..., Running], undisturbed: Path, plan: tuple[Path, int]
) -> None:
    for rounds in KILLS:
        kill(start("--resume"), rounds, ROUNDS)
    running = start("--resume")
    finish(running)
    assert digests(running.run) == digests(undisturbed)
    assert model(running.run) == model(undisturbed)
    each = plan[1]
    assert {len(events) for events in paid(undisturbed).values()} == {ROUNDS * each}
    assert len(paid(running.run)) == 4
    for events in paid(running.run).values():
        # Noise that was made and lost with its process is paid for, too: at most once for each kill.
        assert ROUNDS * each <= len(events) <= (ROUNDS + len(KILLS)) * each
    told = [line["privacy"]["epsilon"] for line in lines(running.run)]
    assert told == [line["privacy"]["epsilon"] for line in lines(undisturbed)]
    assert told == sorted(told)
