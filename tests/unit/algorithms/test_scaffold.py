"""SCAFFOLD against the paper's formulas (arXiv:1910.06378, algorithm 1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
from torch import nn

from wardround.aggregate import Mean
from wardround.algorithms import Algorithm, FedAvg, LocalResult, Scaffold, Training
from wardround.algorithms.personal import norms
from wardround.algorithms.server import ServerSgd
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, Update, of_group
from wardround.tasks.classification import load_weights, weights_of

TASK = tiny.task()
COHORT = ("east", "north", "west")
IMAGES = {site: tiny.images(8 + 4 * index, site) for index, site in enumerate(COHORT)}
PLAIN = Training(steps=3, batch_size=4, learning_rate=0.1)


def context(round_index: int, cohort: tuple[str, ...] = COHORT) -> RoundContext:
    return RoundContext(3, round_index, 4, cohort, len(COHORT))


def local(algorithm: Algorithm, site: str, broadcast: Tensors, memory: Tensors, ctx: RoundContext) -> LocalResult:
    network = TASK.build(seed=0)
    load_weights(network, {name: value for name, value in broadcast.items() if not name.startswith("variate/")})
    return algorithm.local.run(TASK, network, IMAGES[site], broadcast, memory, ctx.at(site))


def rounds(algorithm: Algorithm, count: int, cohorts: list[tuple[str, ...]], weighting: str) -> tuple[dict, dict]:
    """Run `count` rounds by hand; return the server's state and the sites' memories."""
    state = dict(algorithm.server.start(weights_of(TASK.build(seed=0))))
    memories: dict[str, Tensors] = {site: {} for site in COHORT}
    for index in range(count):
        ctx = context(index, cohorts[index % len(cohorts)])
        broadcast = algorithm.server.broadcast(state)
        updates = []
        for site in ctx.cohort:
            result = local(algorithm, site, broadcast, memories[site], ctx)
            updates.append(Update(site, index, result.change, len(IMAGES[site])))
            memories[site] = result.memory
        state = dict(algorithm.server.apply(state, Mean(weighting).combine(updates).mean(), ctx))
    return state, memories


def scaffold(training: Training = PLAIN) -> Algorithm:
    return Scaffold().compose(training, ServerSgd())


def test_new_variate_is_option_two_under_plain_sgd() -> None:
    state, memories = rounds(scaffold(), 1, [COHORT], "uniform")
    broadcast, ctx = scaffold().server.broadcast(state), context(1)
    for site in COHORT:
        result = local(scaffold(), site, broadcast, memories[site], ctx)
        common, own = of_group(broadcast, "variate"), of_group(memories[site], "variate")
        assert any(value.any() for value in own.values())
        for name, new in of_group(result.memory, "variate").items():
            x_minus_y = -result.change[name]
            option_two = own[name] - common[name] + x_minus_y / (PLAIN.steps * PLAIN.learning_rate)
            np.testing.assert_allclose(new, option_two, atol=1e-5)
            np.testing.assert_allclose(result.change[f"variate/{name}"], new - own[name], atol=1e-7)


def test_under_momentum_the_variate_is_still_the_mean_raw_gradient() -> None:
    momentum = local(scaffold(replace(PLAIN, momentum=0.9, steps=1)), "east", start(), {}, context(0))
    plain = local(scaffold(replace(PLAIN, steps=1)), "east", start(), {}, context(0))
    for name, value in of_group(plain.memory, "variate").items():
        np.testing.assert_array_equal(of_group(momentum.memory, "variate")[name], value)
        np.testing.assert_allclose(value, -plain.change[name] / PLAIN.learning_rate, atol=1e-5)


def start() -> Tensors:
    return scaffold().server.broadcast(scaffold().server.start(weights_of(TASK.build(seed=0))))


def test_the_first_round_is_fedavg() -> None:
    fedavg = FedAvg().compose(PLAIN, ServerSgd())
    ours, theirs = local(scaffold(), "north", start(), {}, context(0)), local(fedavg, "north", start(), {}, context(0))
    for name, value in theirs.change.items():
        np.testing.assert_array_equal(ours.change[name], value)
    later = rounds(scaffold(), 2, [COHORT], "examples")[0]
    assert any((later[n] != v).any() for n, v in rounds(fedavg, 2, [COHORT], "examples")[0].items())


@pytest.mark.parametrize("weighting", ["uniform", "examples"])
def test_the_common_variate_is_the_mean_of_the_sites_after_full_rounds(weighting: str) -> None:
    state, memories = rounds(scaffold(), 3, [COHORT], weighting)
    weights = {site: len(IMAGES[site]) if weighting == "examples" else 1 for site in COHORT}
    for name, common in of_group(state, "variate").items():
        mean = sum(w * memories[site][f"variate/{name}"] for site, w in weights.items()) / sum(weights.values())
        np.testing.assert_allclose(common, mean, atol=1e-6)
        assert common.dtype == np.float32


def test_with_part_of_the_sites_it_is_the_mean_over_all_sites() -> None:
    state, memories = rounds(scaffold(), 4, [("east", "west"), ("north",), ("north", "west")], "uniform")
    for name, common in of_group(state, "variate").items():
        mean = sum(memories[site][f"variate/{name}"] for site in COHORT) / 3
        np.testing.assert_allclose(common, mean, atol=1e-6)


def test_what_stays_personal_has_no_variate_and_is_not_corrected() -> None:
    personal = norms(TASK.build(seed=0))
    shared = {name: value for name, value in start().items() if name.removeprefix("variate/") not in personal}
    big = {name: value + 1 if name.startswith("variate/") else value for name, value in shared.items()}
    network = TASK.build(seed=0)
    result = scaffold().local.run(TASK, network, IMAGES["east"], big, {}, context(0).at("east"))
    assert not {f"variate/{name}" for name in personal} & (result.change.keys() | result.memory.keys())
    assert {f"variate/{name}" for name in weights_of(network)} - {f"variate/{name}" for name in personal} <= set(
        result.memory
    )


def test_the_server_s_model_has_no_variates() -> None:
    algorithm = scaffold()
    state = algorithm.server.start(weights_of(nn.Linear(2, 2)))
    assert set(algorithm.server.model(state)) == {"net/weight", "net/bias"}
    assert set(algorithm.server.broadcast(state)) == set(state)
