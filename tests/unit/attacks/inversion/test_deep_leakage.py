"""How far the search of L-BFGS goes, and when it begins again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wardround.attacks import Budget, DeepLeakage, Observation
from wardround.attacks.inversion import lbfgs


def seen() -> Observation:
    """Return what one step of a very small network on one image gives away, in double precision."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 6, 5, 2, 2), nn.Sigmoid(), nn.Conv2d(6, 6, 5, 1, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(96, 3)
    ).double()
    image, label = torch.rand((1, 1, 8, 8), dtype=torch.double), torch.tensor([1])
    loss = nn.functional.cross_entropy(network(image), label)
    slopes = torch.autograd.grad(loss, list(network.parameters()))
    return Observation.of_gradients(network, slopes, (1, 8, 8), 1, limits=(0.0, 1.0))


def test_the_search_goes_on_where_the_optimiser_alone_would_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = DeepLeakage(Budget(steps=100, restarts=1), enough=0.0)
    found = attack.run(seen(), seed=1)
    monkeypatch.setattr(lbfgs, "SCALE", 1.0)
    forgetful = attack.run(seen(), seed=1)
    assert found.distance < forgetful.distance / 1000


def test_a_guess_that_led_nowhere_is_given_up_for_another() -> None:
    one, other = (DeepLeakage(Budget(30, restarts=1), enough=0.0).run(seen(), seed=seed) for seed in (1, 2))
    both = DeepLeakage(Budget(30, restarts=2), enough=0.0, promising=0.0).run(seen(), seed=1)
    assert one.evaluations < both.evaluations
    assert both.distance == min(one.distance, other.distance)


def test_a_guess_that_came_near_goes_on_with_all_that_is_left() -> None:
    short = DeepLeakage(Budget(12, restarts=1), enough=0.0).run(seen(), seed=1)
    again = DeepLeakage(Budget(12, restarts=4), enough=0.0, promising=1.0).run(seen(), seed=1)
    assert short.evaluations < again.evaluations <= 48 + 12
    assert again.distance < short.distance / 100
