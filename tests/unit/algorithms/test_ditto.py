"""Ditto: the shared model is FedAvg's, and each site is served by its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from rigged import run

from wardround.algorithms import Ditto, FedAvg, Training
from wardround.algorithms.ditto import OWN
from wardround.algorithms.server import ServerSgd
from wardround.core.codec import Message
from wardround.core.update import Tensors, of_group
from wardround.errors import PlanError
from wardround.protect.clip import norm_of
from wardround.rounds.digests import digest_of
from wardround.rounds.store import SiteStore
from wardround.study.spec import to_json
from wardround.tasks.classification import load_weights, weights_of

TRAINING = Training(steps=3, batch_size=4, learning_rate=0.1)
TASK = tiny.task()


def own_after(rounds: int, lam: float, training: Training = TRAINING) -> tuple[Tensors, Tensors]:
    """The own model of one site that is always told the same, and the shared one that it is told."""
    algorithm = Ditto(lam).compose(training, ServerSgd())
    broadcast = weights_of(TASK.build(0))
    memory: Tensors = {}
    for index in range(rounds):
        network = TASK.build(0)
        memory = algorithm.local.run(
            TASK, network, tiny.images(12), broadcast, memory, tiny.context(index, "east")
        ).memory
    return {n: v for n, v in of_group(memory, OWN).items() if n in broadcast}, broadcast


def test_the_shared_model_is_fedavg_s_bit_for_bit(tmp_path: Path) -> None:
    tables = {"fedavg": {"name": "fedavg"}, "ditto": {"name": "ditto"}}
    found = {name: run(tiny.plan(algorithm=table), tmp_path / name) for name, table in tables.items()}
    assert digest_of(found["fedavg"][0].weights) == digest_of(found["ditto"][0].weights)


def test_the_pull_keeps_the_own_model_near_the_shared_one() -> None:
    far = {
        lam: norm_of({n: v - of[n] for n, v in own.items()}) for lam in (0.001, 5.0) for own, of in [own_after(3, lam)]
    }
    assert far[0.001] > 2 * far[5.0] > 0


def test_the_own_model_goes_on_from_round_to_round_with_its_own_optimiser() -> None:
    one, two = (own_after(rounds, 0.1, replace(TRAINING, momentum=0.9, keep_optimiser=True))[0] for rounds in (1, 2))
    assert any((one[name] != two[name]).any() for name in one)
    algorithm = Ditto().compose(replace(TRAINING, momentum=0.9, keep_optimiser=True), ServerSgd())
    network = TASK.build(0)
    kept = algorithm.local.run(TASK, network, tiny.images(12), weights_of(network), {}, tiny.context(0, "east")).memory
    assert {name.split("/")[0] for name in kept} == {"optimiser", OWN}
    assert {name.split("/")[0] for name in of_group(kept, OWN)} == {"net", "optimiser"}


def test_the_network_is_handed_back_as_the_shared_model() -> None:
    results = {}
    for name, algorithm in (("ditto", Ditto()), ("fedavg", FedAvg())):
        network = TASK.build(0)
        local = algorithm.compose(TRAINING, ServerSgd()).local
        change = local.run(TASK, network, tiny.images(12), weights_of(network), {}, tiny.context(0, "east")).change
        results[name] = {**weights_of(network), **{f"change/{n}": v for n, v in change.items()}}
    assert digest_of(results["ditto"]) == digest_of(results["fedavg"])


def test_a_site_is_tested_with_its_own_model_and_one_without_with_the_shared(tmp_path: Path) -> None:
    plan = tiny.plan(algorithm={"name": "ditto", "lam": 0.001}, training={"steps": 8}, rounds=3)
    _, journal, _ = run(plan, tmp_path)
    site = tiny.make_opener(to_json(plan), tiny.SIZES, str(tmp_path))("east")
    weights = {name: value for name, value in (journal.state or {}).items() if name.startswith(("net/", "stat/"))}
    said = {
        accepted: site.handle("evaluate", Message({"part": "test", "accepted": {"east": accepted}}, weights))
        for accepted in (-1, plan.rounds - 1)
    }
    own = of_group(SiteStore(tmp_path / "east").read(plan.rounds - 1), OWN)
    network = TASK.build(0)
    for accepted, expected in ((-1, weights), (plan.rounds - 1, {n: own[n] for n in weights})):
        load_weights(network, expected)
        probabilities = TASK.evaluate(network, tiny.site_data("east").test).probabilities
        np.testing.assert_array_equal(said[accepted].tensors["probabilities"], probabilities)
    assert (said[-1].tensors["probabilities"] != said[plan.rounds - 1].tensors["probabilities"]).any()


@pytest.mark.parametrize("lam", [0.0, -1.0, float("inf")])
def test_a_pull_that_is_not_positive_is_refused(lam: float) -> None:
    with pytest.raises(PlanError, match="lam"):
        Ditto(lam)
