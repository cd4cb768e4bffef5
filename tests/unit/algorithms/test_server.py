"""Server steps against slow scalar loops (arXiv:2003.00295, algorithm 2; arXiv:1909.06335)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from wardround.algorithms import ServerStep
from wardround.algorithms.server import SERVERS, Averaged, ServerAdam, ServerSgd, ServerYogi
from wardround.core.context import RoundContext
from wardround.errors import PlanError

ROUNDS = 12
START, STATISTIC = 0.5, 3.0
MEANS = np.random.default_rng(4).normal(0, 0.3, ROUNDS).astype(np.float32)


def context(index: int) -> RoundContext:
    return RoundContext(1, index, ROUNDS, ("a",), 1)


def run(step: ServerStep) -> Iterator[dict[str, np.ndarray]]:
    """Yield the state after each round of one scalar weight and one statistic."""
    state = step.start({"net/w": np.array([START], np.float32), "stat/s": np.array([STATISTIC], np.float32)})
    for index, mean in enumerate(MEANS):
        change = {"net/w": np.array([mean], np.float32), "stat/s": np.array([0.25], np.float32)}
        state = step.apply(state, change, context(index))
        assert all(value.dtype == np.float32 for value in state.values())
        yield dict(state)


def plain(rate: float) -> Iterator[float]:
    weight = START
    for mean in MEANS.tolist():
        weight += rate * mean
        yield weight


def heavy_ball(rate: float, beta: float, nesterov: bool) -> Iterator[float]:
    weight, velocity = START, 0.0
    for mean in MEANS.tolist():
        velocity = beta * velocity + mean
        weight += rate * (mean + beta * velocity if nesterov else velocity)
        yield weight


def adaptive(rate: float, beta1: float, beta2: float, tau: float, yogi: bool) -> Iterator[float]:
    weight, first, second = START, 0.0, 0.0
    for mean in MEANS.tolist():
        first = beta1 * first + (1 - beta1) * mean
        if yogi:
            second -= (1 - beta2) * mean**2 * math.copysign(1.0, second - mean**2)
        else:
            second = beta2 * second + (1 - beta2) * mean**2
        weight += rate * first / (math.sqrt(second) + tau)
        yield weight


CASES: dict[str, tuple[ServerStep, Callable[[], Iterator[float]]]] = {
    "fedavg": (ServerSgd(), lambda: plain(1.0)),
    "rate": (ServerSgd(learning_rate=0.3), lambda: plain(0.3)),
    "momentum": (ServerSgd(learning_rate=0.7, momentum=0.9), lambda: heavy_ball(0.7, 0.9, nesterov=False)),
    "nesterov": (ServerSgd(0.7, 0.9, nesterov=True), lambda: heavy_ball(0.7, 0.9, nesterov=True)),
    "adam": (ServerAdam(0.1, 0.8, 0.95, 0.01), lambda: adaptive(0.1, 0.8, 0.95, 0.01, yogi=False)),
    "yogi": (ServerYogi(0.1, 0.8, 0.95, 0.01), lambda: adaptive(0.1, 0.8, 0.95, 0.01, yogi=True)),
}


@pytest.mark.parametrize(("step", "reference"), CASES.values(), ids=CASES.keys())
def test_weights_follow_the_slow_loop(step: ServerStep, reference: Callable[[], Iterator[float]]) -> None:
    for state, expected in zip(run(step), reference(), strict=True):
        assert step.model(state)["net/w"][0] == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("step", [case[0] for case in CASES.values()], ids=CASES.keys())
def test_statistics_take_the_plain_mean(step: ServerStep) -> None:
    for index, state in enumerate(run(step)):
        assert state["stat/s"][0] == pytest.approx(STATISTIC + 0.25 * (index + 1))


def test_rate_one_without_momentum_is_exactly_the_average() -> None:
    step = ServerSgd()
    state = step.start({"net/w": np.array([1.0, 2.0], np.float32)})
    assert set(state) == {"net/w"}
    after = step.apply(state, {"net/w": np.array([0.5, -2.0], np.float32)}, context(0))
    np.testing.assert_array_equal(after["net/w"], [1.5, 0.0])


def test_the_average_starts_near_the_first_weights_and_then_forgets_slowly() -> None:
    step = Averaged(ServerSgd(), decay=0.8)
    average = START
    for index, (state, weight) in enumerate(zip(run(step), plain(1.0), strict=True)):
        kept = min(0.8, (index + 1) / (index + 10))
        average = kept * average + (1 - kept) * weight
        assert step.model(state)["net/w"][0] == pytest.approx(average, rel=1e-4)
        assert step.broadcast(state)["net/w"][0] == pytest.approx(weight, rel=1e-4)
        assert set(step.model(state)) == {"net/w", "stat/s"}


def test_the_initial_weights_leave_no_trace_in_the_average() -> None:
    """What is left of the start after r rounds is the product of the capped decays: nothing to speak of after ten."""
    step = Averaged(ServerSgd(), decay=0.99)
    state: Any = step.start({"net/w": np.array([1e6], np.float32)})
    for index in range(10):
        jump = -1e6 if index == 0 else 0.0
        state = step.apply(state, {"net/w": np.array([jump], np.float32)}, context(index))
    assert abs(step.model(state)["net/w"][0]) < 1e6 * 1e-4


def test_the_average_of_constant_weights_is_that_constant() -> None:
    step = Averaged(ServerSgd(momentum=0.5), decay=0.9)
    state: Any = step.start({"net/w": np.full(3, 0.1, np.float32)})
    for index in range(5):
        state = step.apply(state, {"net/w": np.zeros(3, np.float32)}, context(index))
    np.testing.assert_allclose(step.model(state)["net/w"], 0.1, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "key"),
    [
        ("sgd", {"learning_rate": 0.0}, "learning_rate"),
        ("sgd", {"learning_rate": float("inf")}, "learning_rate"),
        ("sgd", {"momentum": 1.0}, "momentum"),
        ("sgd", {"nesterov": True}, "nesterov"),
        ("adam", {"tau": 0.0}, "tau"),
        ("adam", {"beta1": 1.0}, "beta1"),
        ("yogi", {"beta2": -0.1}, "beta2"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(name: str, settings: dict[str, Any], key: str) -> None:
    with pytest.raises(PlanError, match=key):
        SERVERS[name](**settings)
