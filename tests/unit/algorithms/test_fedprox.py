"""FedProx against autograd of the penalty it stands for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wardround.algorithms import FedProx, Training
from wardround.algorithms.fedprox import Proximal
from wardround.algorithms.server import ServerSgd
from wardround.errors import PlanError


def test_the_gradient_is_that_of_the_penalised_loss() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    anchors = [parameter.detach().clone() for parameter in network.parameters()]
    running = Proximal(0.7).begin(network, {}, {})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    images = torch.randn(5, 4)

    loss = network(images).square().mean()
    penalty = sum((p - a).square().sum() for p, a in zip(network.parameters(), anchors, strict=True))
    expected = torch.autograd.grad(loss + 0.7 / 2 * penalty, list(network.parameters()))

    network.zero_grad()
    network(images).square().mean().backward()
    running.adjust()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert running.finish() == ({}, {})


def test_where_the_round_began_there_is_no_pull() -> None:
    network = nn.Linear(2, 2)
    running = Proximal(5.0).begin(network, {}, {})
    network(torch.ones(1, 2)).sum().backward()
    before = network.weight.grad.clone()
    running.adjust()
    assert torch.equal(network.weight.grad, before)


def test_parameters_without_a_gradient_are_left_alone() -> None:
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    running = Proximal(1.0).begin(network, {}, {})
    running.adjust()
    assert network.weight.grad is None


def test_the_algorithm_carries_its_strength() -> None:
    local = FedProx(mu=0.25).compose(Training(), ServerSgd()).local
    assert local.corrections == (Proximal(0.25),)


@pytest.mark.parametrize("mu", [0.0, -1.0, float("nan"), float("inf")])
def test_a_strength_that_is_not_positive_is_refused(mu: float) -> None:
    with pytest.raises(PlanError, match="mu"):
        FedProx(mu=mu)
