"""Local training against a plain torch loop: the yardsticks are honest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from wardround.aggregate import Mean
from wardround.algorithms import FedAvg, Training
from wardround.algorithms.server import ServerSgd
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, Update, applied, difference
from wardround.tasks.classification import load_weights, weights_of
from wardround.tasks.inputs import to_input
from wardround.tasks.models import SmallCnn

TASK = tiny.task()
IMAGES = tiny.images(20)
ROUNDS = 4


def context(index: int) -> RoundContext:
    return RoundContext(5, index, ROUNDS, ("east",), 1, "east")


def federated(training: Training) -> Tensors:
    """One site, FedAvg, through the whole machinery."""
    algorithm = FedAvg().compose(training, ServerSgd())
    state = algorithm.server.start(weights_of(TASK.build(seed=0)))
    memory: Tensors = {}
    for index in range(ROUNDS):
        network = TASK.build(seed=9)
        load_weights(network, algorithm.server.broadcast(state))
        broadcast = algorithm.server.broadcast(state)
        result = algorithm.local.run(TASK, network, IMAGES, broadcast, memory, context(index))
        memory = result.memory
        mean = Mean().combine([Update("east", index, result.change, len(IMAGES))]).mean()
        state = algorithm.server.apply(state, mean, context(index))
    return algorithm.server.model(state)


def plain_loop(training: Training, rounded: bool) -> Tensors:
    """The same batches in an ordinary training loop.

    A round sends the float32 *difference* of the weights, which loses the last bit of a few of them; `rounded` takes
    that way too, at each border between rounds.
    """
    network = TASK.build(seed=0)
    network.train()
    optimiser = training.optimiser_for(network)
    for index in range(ROUNDS):
        before = weights_of(network)
        torch.manual_seed(context(index).entropy("torch"))
        if not training.keep_optimiser:
            optimiser = training.optimiser_for(network)
        for step, rows in enumerate(training.batches(len(IMAGES), context(index))):
            progress = (index + step / training.num_steps(len(IMAGES))) / ROUNDS
            for group in optimiser.param_groups:
                group["lr"] = training.learning_rate_at(progress)
            inputs = to_input(IMAGES.batch(rows)).to(memory_format=torch.channels_last)
            with training.autocast(torch.device("cpu")):
                loss = TASK.loss(network, inputs, torch.from_numpy(IMAGES.labels[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if rounded:
            load_weights(network, applied(before, difference(weights_of(network), before)))
    return weights_of(network)


SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "weight_decay": 0.01, "keep_optimiser": True},
    "adamw": {"optimiser": "adamw", "learning_rate": 0.003, "weight_decay": 0.1, "keep_optimiser": True},
    "cosine": {"momentum": 0.9, "schedule": "cosine", "keep_optimiser": True},
    "fresh optimiser": {"momentum": 0.9},
    "bf16": {"momentum": 0.9, "precision": "bf16", "keep_optimiser": True},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_one_site_is_a_plain_training_loop(settings: dict[str, Any]) -> None:
    training = replace(Training(steps=3, batch_size=6, precision="float32"), **settings)
    ours = federated(training)
    for name, value in plain_loop(training, rounded=True).items():
        assert ours[name].tobytes() == value.tobytes(), name
    if training.precision == "float32":
        for name, value in plain_loop(training, rounded=False).items():
            np.testing.assert_allclose(ours[name], value, atol=2e-6)


def run(training: Training, ctx: RoundContext, memory: Tensors | None = None) -> Any:
    network = TASK.build(seed=0)
    algorithm = FedAvg().compose(training, ServerSgd())
    return algorithm.local.run(TASK, network, IMAGES, weights_of(network), memory or {}, ctx)


def test_a_round_gives_the_same_bits_whatever_ran_before() -> None:
    training = Training(steps=2, batch_size=4, augment="dihedral+colour")
    first = run(training, context(1))
    torch.rand(100)
    run(training, context(0))
    again = run(training, context(1))
    assert all(value.tobytes() == again.change[name].tobytes() for name, value in first.change.items())
    other = run(training, replace(context(1), seed=6))
    assert any(value.tobytes() != other.change[name].tobytes() for name, value in first.change.items())


def test_dropout_is_at_work() -> None:
    training = Training(steps=1, batch_size=20)
    with_dropout = run(training, context(0)).change
    network = replace(TASK, model=SmallCnn(8, dropout=0.0)).build(seed=0)
    algorithm = FedAvg().compose(training, ServerSgd())
    without = algorithm.local.run(TASK, network, IMAGES, weights_of(network), {}, context(0)).change
    assert any(value.tobytes() != with_dropout[name].tobytes() for name, value in without.items())


def test_the_result_tells_loss_and_steps() -> None:
    result = run(Training(steps=3, batch_size=4), context(0))
    assert result.num_steps == 3
    assert 0.1 < result.loss < 3
    assert result.memory == {}
    assert set(result.change) == set(weights_of(TASK.build(seed=0)))


def test_the_learning_rate_of_a_cosine_run_ends_near_zero() -> None:
    training = Training(steps=1, batch_size=4, schedule="cosine")
    sizes = []
    for index in (0, 399):
        change = run(training, replace(context(index), rounds=400)).change
        sizes.append(max(float(np.abs(value).max()) for value in change.values()))
    assert sizes[1] < 1e-3 * sizes[0]


def test_the_optimiser_is_remembered_only_when_asked() -> None:
    kept = run(Training(steps=2, batch_size=4, momentum=0.9, keep_optimiser=True), context(0)).memory
    assert {name.split("/")[0] for name in kept} == {"optimiser"}
    assert len(kept) == len(list(TASK.build(seed=0).parameters()))
    assert run(Training(steps=2, batch_size=4, momentum=0.9), context(0)).memory == {}
