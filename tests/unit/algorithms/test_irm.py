"""IRMv1's penalty against finite differences of the loss it is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from rigged import run
from torch import nn

from wardround.algorithms import Irm, Training
from wardround.algorithms.irm import RunningPenalised
from wardround.algorithms.server import ServerSgd
from wardround.errors import PlanError
from wardround.rounds.digests import digest_of

TASK = tiny.task(("a", "b", "c"))
INPUTS, LABELS = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3


def slope(logits: torch.Tensor, labels: torch.Tensor, width: float = 1e-5) -> float:
    """The derivative by a scale on the outputs, in float64 and by differences."""
    at = [nn.functional.cross_entropy(logits.double() * s, labels).item() for s in (1 + width, 1 - width)]
    return (at[0] - at[1]) / (2 * width)


@pytest.mark.parametrize("penalty", [0.5, 20.0])
def test_the_penalty_is_the_product_of_two_halves_slopes(penalty: float) -> None:
    module = nn.Linear(5, 3)
    found = RunningPenalised(TASK, penalty, 0.0).loss(module, INPUTS, LABELS, 0.5)
    logits = module(INPUTS).detach()
    plain = nn.functional.cross_entropy(logits, LABELS).item()
    product = slope(logits[::2], LABELS[::2]) * slope(logits[1::2], LABELS[1::2])
    assert found.item() == pytest.approx((plain + penalty * product) / max(1.0, penalty), rel=1e-4)


def test_the_penalty_has_a_gradient_of_its_own() -> None:
    module = nn.Linear(5, 3)
    gradients = []
    for penalty in (1e-9, 1.0):
        loss = RunningPenalised(TASK, penalty, 0.0).loss(module, INPUTS, LABELS, 0.5)
        gradients.append(torch.autograd.grad(loss, [module.weight])[0])
    assert (gradients[0] - gradients[1]).norm() > 1e-3


def test_outputs_that_are_best_as_they_are_have_no_penalty() -> None:
    scale = torch.ones(1, requires_grad=True)
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).repeat(10, 1)
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    loss = nn.functional.cross_entropy(logits * scale, labels)
    assert torch.autograd.grad(loss, scale)[0].item() == pytest.approx(0, abs=1e-6)
    assert slope(logits, labels) == pytest.approx(0, abs=1e-6)


def test_before_the_warm_up_ends_and_for_a_lone_image_the_loss_is_plain() -> None:
    module = nn.Linear(5, 3)
    running = RunningPenalised(TASK, 5.0, 0.2)
    for inputs, labels, progress in ((INPUTS, LABELS, 0.1), (INPUTS[:1], LABELS[:1], 0.9)):
        plain = nn.functional.cross_entropy(module(inputs), labels)
        assert running.loss(module, inputs, labels, progress).item() == plain.item()
    assert running.finish() == ({}, {})


def test_it_trains_another_model_than_fedavg(tmp_path: Path) -> None:
    digests = {
        name: digest_of(run(tiny.plan(algorithm={"name": name, **more}), tmp_path / name)[0].weights)
        for name, more in (("fedavg", {}), ("irm", {"warm_up": 0.0, "penalty": 5.0}))
    }
    assert digests["fedavg"] != digests["irm"]


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"penalty": 0.0}, {"penalty": np.inf}, {"warm_up": 1.0}, {"personal": "all"}):
        with pytest.raises(PlanError):
            Irm(**wrong)
    with pytest.raises(PlanError, match="halves each batch"):
        Irm().compose(Training(batch_size=1), ServerSgd())
