"""Batches, steps, schedules and optimisers of local training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wardround.algorithms import Training
from wardround.core.context import RoundContext
from wardround.errors import PlanError


def at(round_index: int, site: str = "a", seed: int = 1) -> RoundContext:
    return RoundContext(seed, round_index, 50, ("a", "b"), 2, site)


def rows(training: Training, count: int, rounds: int, site: str = "a") -> np.ndarray:
    return np.concatenate([np.concatenate([*training.batches(count, at(index, site))]) for index in range(rounds)])


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_every_image_is_used_once_per_pass_however_short_the_rounds(count: int, batch: int, steps: int) -> None:
    training = Training(batch_size=batch, steps=steps)
    per_round = steps * min(batch, count)
    used = rows(training, count, rounds=3 * count // per_round + 2)
    for start in range(0, len(used) - count + 1, count):
        assert sorted(used[start : start + count].tolist()) == list(range(count))


def test_passes_differ_from_each_other_and_from_other_sites_and_seeds() -> None:
    training = Training(batch_size=10, steps=2)
    first, second = rows(training, 20, 2).reshape(2, 20)
    assert first.tolist() != second.tolist()
    assert first.tolist() != rows(training, 20, 1, site="b").tolist()
    other_seed = np.concatenate([*training.batches(20, at(0, seed=2))])
    assert first.tolist() != other_seed.tolist()


def test_a_round_depends_on_its_place_and_not_on_earlier_calls() -> None:
    training = Training(batch_size=4, epochs=0.3)
    alone = np.stack([*training.batches(21, at(7))])
    for index in range(7):
        list(training.batches(21, at(index)))
    np.testing.assert_array_equal(np.stack([*training.batches(21, at(7))]), alone)


@pytest.mark.parametrize(
    ("settings_", "count", "expected"),
    [
        ({"epochs": 1.0, "batch_size": 32}, 64, 2),
        ({"epochs": 1.0, "batch_size": 32}, 79, 2),
        ({"epochs": 0.1, "batch_size": 32}, 3200, 10),
        ({"epochs": 0.001, "batch_size": 32}, 32, 1),
        ({"epochs": 2.0, "batch_size": 32}, 5, 2),
        ({"steps": 7, "epochs": 3.0}, 1000, 7),
        ({"steps": 7}, 1, 7),
    ],
)
def test_steps_per_round(settings_: dict[str, Any], count: int, expected: int) -> None:
    training = Training(**settings_)
    assert training.num_steps(count) == expected
    batches = [*training.batches(count, at(3))]
    assert len(batches) == expected
    assert {len(batch) for batch in batches} == {min(training.batch_size, count)}


def test_cosine_falls_from_the_full_rate_to_zero_and_constant_stays() -> None:
    training = Training(learning_rate=0.2, schedule="cosine")
    assert training.learning_rate_at(0.0) == pytest.approx(0.2)
    assert training.learning_rate_at(0.5) == pytest.approx(0.1)
    assert training.learning_rate_at(1.0) == pytest.approx(0.0, abs=1e-12)
    falling = [training.learning_rate_at(progress) for progress in np.linspace(0, 1, 20)]
    assert falling == sorted(falling, reverse=True)
    assert Training(learning_rate=0.2).learning_rate_at(0.9) == 0.2


def test_the_cosine_is_torch_s_own() -> None:
    training = Training(learning_rate=0.3, schedule="cosine")
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=12)
    for step in range(12):
        assert training.learning_rate_at(step / 12) == pytest.approx(theirs.get_last_lr()[0], rel=1e-6)
        optimiser.step()
        theirs.step()


def test_optimisers_take_the_settings_and_leave_frozen_weights_alone() -> None:
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    sgd = Training(momentum=0.5, weight_decay=0.1, learning_rate=0.3).optimiser_for(network)
    assert isinstance(sgd, torch.optim.SGD)
    assert {key: sgd.defaults[key] for key in ("lr", "momentum", "weight_decay")} == {
        "lr": 0.3,
        "momentum": 0.5,
        "weight_decay": 0.1,
    }
    assert [len(group["params"]) for group in sgd.param_groups] == [1]
    adamw = Training(optimiser="adamw", weight_decay=0.1).optimiser_for(network)
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.defaults["weight_decay"] == 0.1


def test_precision_decides_the_autocast() -> None:
    device = torch.device("cpu")
    product = {}
    for precision in ("float32", "bf16"):
        with Training(precision=precision).autocast(device):
            product[precision] = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert product == {"float32": torch.float32, "bf16": torch.bfloat16}


@pytest.mark.parametrize(
    ("settings_", "named"),
    [
        ({"optimiser": "adam"}, "optimiser = 'adam'"),
        ({"schedule": "step"}, "schedule = 'step'"),
        ({"augment": "rotate"}, "augment = 'rotate'"),
        ({"precision": "fp16"}, "precision = 'fp16'"),
        ({"batch_size": 0}, "batch_size"),
        ({"steps": -1}, "steps"),
        ({"epochs": 0.0}, "epochs"),
        ({"epochs": float("inf")}, "epochs"),
        ({"epochs": float("nan")}, "epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"momentum": -0.1}, "momentum"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"weight_decay": float("inf")}, "weight_decay"),
        ({"optimiser": "adamw", "momentum": 0.9}, "momentum = 0.9 has no effect under adamw"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings_: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanError, match=named):
        Training(**settings_)
