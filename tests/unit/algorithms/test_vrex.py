"""V-REx: the sites' factors add up to the gradient of mean and variance of their risks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
from rigged import run

from wardround.algorithms import LocalResult, VRex
from wardround.algorithms.server import ServerSgd
from wardround.algorithms.vrex import MEAN_RISK, MOST_PULL, OWN_RISK, Extrapolated, WithRisk
from wardround.core.update import Tensors
from wardround.errors import PlanError

ONE = np.ones(1, np.float32)


class Work:
    """A site whose risk is ``(w - target)^2`` and whose update is minus its gradient."""

    def __init__(self, target: float, weight: float) -> None:
        self.risk, self.gradient = (weight - target) ** 2, 2 * (weight - target)

    def run(self, *_: object) -> LocalResult:
        change = {"net/w": np.float32([-self.gradient]), "stat/s": np.float32([1.0]), "net/own": np.float32([1.0])}
        return LocalResult(change, {"kept": ONE}, self.risk, 1)


def ran(work: Work, beta: float, broadcast: Tensors, memory: Tensors) -> LocalResult:
    return Extrapolated(work, beta).run(None, None, None, broadcast, memory, None)  # type: ignore[arg-type]


def test_the_factors_make_the_gradient_of_mean_and_variance() -> None:
    weight, beta, targets = 0.3, 0.8, (0.0, 0.5, 1.0)
    works = [Work(target, weight) for target in targets]
    mean = float(np.mean([work.risk for work in works]))
    broadcast = {"net/w": ONE, "stat/s": ONE, MEAN_RISK: np.float32([mean])}
    changes = [ran(w, beta, broadcast, {OWN_RISK: np.float32([w.risk])}).change for w in works]
    step = np.mean([change["net/w"][0] for change in changes])

    def objective(w: float) -> float:
        risks = np.array([(w - target) ** 2 for target in targets])
        return float(risks.mean() + beta * risks.var())

    gradient = (objective(weight + 1e-5) - objective(weight - 1e-5)) / 2e-5
    assert step == pytest.approx(-gradient, rel=1e-4)


def test_only_shared_weights_are_weighed_and_the_first_round_counts_once() -> None:
    work = Work(0.0, 1.0)
    broadcast = {"net/w": ONE, "stat/s": ONE, MEAN_RISK: np.zeros(1, np.float32)}
    first = ran(work, 1.0, broadcast, {})
    assert first.change["net/w"] == -2
    assert first.memory.keys() == {"kept", OWN_RISK}
    second = ran(work, 1.0, {**broadcast, MEAN_RISK: np.float32([0.5])}, first.memory)
    assert second.change["net/w"] == -4
    assert second.change["stat/s"] == second.change["net/own"] == 1


def test_the_factor_is_bounded_on_both_sides() -> None:
    broadcast = {"net/w": ONE, MEAN_RISK: np.zeros(1, np.float32)}
    for own, factor in ((100.0, MOST_PULL), (-100.0, 0.0)):
        change = ran(Work(0.0, 1.0), 1.0, broadcast, {OWN_RISK: np.float32([own])}).change
        assert change["net/w"][0] == -2 * factor


def test_the_server_knows_the_mean_risk_and_nobody_s_own(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "vrex"}, aggregator=tiny.UNIFORM)
    _, journal, _ = run(plan, tmp_path)
    losses = [said["loss"] for said in journal.records[-1].accepted.values()]
    assert journal.state is not None
    assert journal.state[MEAN_RISK][0] == pytest.approx(np.mean(losses), rel=1e-5)
    sealed, journal, _ = run(
        tiny.plan(algorithm={"name": "vrex"}, aggregator=tiny.UNIFORM, protect=tiny.PIPELINES["packed and masked"]),
        tmp_path / "sealed",
    )
    assert sealed.model_sha256
    assert not any(record.failed for record in journal.records)


def test_the_mean_risk_moves_by_what_the_sites_send() -> None:
    step = WithRisk(ServerSgd())
    state = step.start({"net/w": ONE})
    for change, risk in ((0.75, 0.75), (-0.25, 0.5)):
        state = step.apply(state, {"net/w": ONE, MEAN_RISK: np.float32([change])}, tiny.context())
        assert step.broadcast(state)[MEAN_RISK] == pytest.approx(risk)
    assert MEAN_RISK not in step.model(state)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_a_weight_that_is_not_positive_is_refused(beta: float) -> None:
    with pytest.raises(PlanError, match="beta"):
        VRex(beta)
