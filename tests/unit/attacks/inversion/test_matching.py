from __future__ import annotations

import numpy as np
import pytest
import torch
from victims import CLASSES, SIZE_PX, fed, gradients, network, observed, pictures, walked

from wardround.attacks import LocalSteps, Observation
from wardround.attacks.inversion.matching import Matching, cosine, squared

LABELS = torch.tensor([0, 2])


@pytest.mark.parametrize("distance", [squared, cosine])
def test_the_true_images_are_at_distance_zero_and_others_are_not(distance) -> None:
    images = pictures(2)
    matching = Matching(observed(network(), images, LABELS.tolist()), distance)
    assert float(matching.of(fed(images), LABELS).detach()) == pytest.approx(0, abs=1e-6)
    assert float(matching.of(fed(pictures(2, seed=1)), LABELS).detach()) > 0.01


def test_members_of_a_group_are_measured_as_if_alone() -> None:
    images = pictures(2)
    matching = Matching(observed(network(), images, LABELS.tolist()))
    group = torch.stack([fed(pictures(2, seed=seed)) for seed in (0, 1, 2)])
    alone = torch.stack([matching.of(member, LABELS) for member in group])
    torch.testing.assert_close(matching.of_each(group, LABELS), alone, rtol=1e-4, atol=1e-6)
    assert matching.evaluations == 6


@pytest.mark.parametrize("work", [LocalSteps(2, 0.1), LocalSteps(2, 0.05, weight_decay=0.1), LocalSteps(1, 0.1, 0.2)])
def test_local_steps_are_those_of_the_optimiser(work: LocalSteps) -> None:
    victim, images, labels = network(), pictures(4), [0, 1, 2, 0]
    seen = Observation(victim, walked(victim, images, labels, work), (3, SIZE_PX, SIZE_PX), 4, work)
    assert float(Matching(seen).of(fed(images), torch.tensor(labels)).detach()) < 1e-6


@pytest.mark.parametrize("steps", [1, 2])
def test_a_sum_of_sites_has_their_shares(steps: int) -> None:
    victim, work, shares = network(), LocalSteps(steps, 0.1), (0.25, 0.75)
    images, labels = pictures(4), [0, 1, 2, 0]
    each = [walked(victim, images[i : i + 2], labels[i : i + 2], work) for i in (0, 2)]
    total = {name: sum(share * one[name] for share, one in zip(shares, each, strict=True)) for name in each[0]}
    seen = Observation(victim, total, (3, SIZE_PX, SIZE_PX), 4, work, shares=shares)
    assert float(Matching(seen).of(fed(images), torch.tensor(labels)).detach()) < 1e-6
    swapped = np.concatenate([images[2:], images[:2]])
    assert float(Matching(seen).of(fed(swapped), torch.tensor(labels[2:] + labels[:2])).detach()) > 0.01


def test_soft_labels_are_searched_for_with_gradients() -> None:
    victim, images = network(), pictures(1)
    matching = Matching(observed(victim, images, [1]))
    logits = torch.zeros((1, CLASSES), requires_grad=True)
    (slope,) = torch.autograd.grad(matching.of(fed(images), logits), logits)
    assert int(slope.argmin()) == 1


def test_the_network_is_left_as_it_was() -> None:
    victim = torch.nn.Sequential(torch.nn.BatchNorm2d(3), network())
    images = pictures(4)
    before = {name: value.clone() for name, value in victim.state_dict().items()}
    loss = torch.nn.functional.cross_entropy(victim.eval()(fed(images)), torch.tensor([0, 1, 2, 0]))
    slopes = torch.autograd.grad(loss, list(victim.parameters()))
    seen = Observation.of_gradients(victim, slopes, (3, SIZE_PX, SIZE_PX), 4)
    Matching(seen).of_each(torch.randn(2, 4, 3, SIZE_PX, SIZE_PX), torch.tensor([0, 1, 2, 0]))
    seen.answers(torch.randn(4, 3, SIZE_PX, SIZE_PX))
    assert all(torch.equal(value, before[name]) for name, value in victim.state_dict().items())


def test_gradients_of_the_victim_match_autograd() -> None:
    victim, images = network(), pictures(2)
    implied = Matching(observed(victim, images, [0, 2])).implied(fed(images), LABELS)
    for mine, other in zip(implied, gradients(victim, images, [0, 2]), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_numbers_that_a_defence_set_to_zero_can_be_left_out() -> None:
    """What Soteria or pruning took out of an update tells an attacker who knows it nothing, and misleads no longer."""
    net, images = network(), pictures(1)
    slopes = gradients(net, images, [1])
    slopes[-2][:, ::2] = 0
    seen = Observation.of_gradients(net, slopes, (3, SIZE_PX, SIZE_PX), 1)
    labels = torch.tensor([1])
    assert float(Matching(seen).of(fed(images), labels)) > 1e-3
    assert float(Matching(seen, skips_zeros=True).of(fed(images), labels)) < 1e-10
