"""What a head was fed is solved for, against the features that the network really made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from victims import fed, gradients, observed, pictures

from wardround.attacks import LocalSteps, Observation
from wardround.attacks.inversion.head_inputs import head_inputs
from wardround.errors import PlanError
from wardround.tasks.models import FlatCnn


def victim(classes: int = 7) -> nn.Module:
    torch.manual_seed(2)
    return FlatCnn(16).build(3, classes)


@pytest.mark.parametrize("labels", [[2], [5, 5], [0, 5, 5, 1]])
def test_they_are_the_features_of_each_image(labels: list[int]) -> None:
    network, images = victim(), pictures(len(labels), seed=4)
    assert isinstance(network, nn.Sequential)
    with torch.no_grad():
        true = network[:-1](fed(images))
    found = head_inputs(observed(network, images, labels), np.array(labels), seed=1)
    far = torch.cdist(true, found) / true.norm(dim=1, keepdim=True)
    # Images of one label may come in another order.
    assert sorted(far.argmin(1).tolist()) == list(range(len(labels)))
    assert float(far.min(1).values.max()) < 1e-4


def test_shares_of_sites_and_weight_decay_are_taken_out() -> None:
    network, images, labels, decay = victim(), pictures(3, seed=5), [1, 3, 6], 0.01
    shares = (0.5, 0.3, 0.2)
    parts = [gradients(network, images[[row]], [labels[row]]) for row in range(3)]
    names = dict(network.named_parameters())
    summed = {
        name: sum(share * part[place] for share, part in zip(shares, parts, strict=True)) + decay * value.detach()
        for place, (name, value) in enumerate(names.items())
    }
    seen = Observation(network, summed, (3, 16, 16), 3, LocalSteps(weight_decay=decay), shares=shares)
    assert isinstance(network, nn.Sequential)
    with torch.no_grad():
        true = network[:-1](fed(images))
    found = head_inputs(seen, np.array(labels), seed=1)
    assert float(((found - true).norm(dim=1) / true.norm(dim=1)).max()) < 1e-4


def test_more_images_than_the_head_can_tell_apart_and_several_steps_are_refused() -> None:
    seen = observed(victim(3), pictures(3), [0, 1, 2])
    with pytest.raises(PlanError, match="at most 2 images apart"):
        head_inputs(seen, np.array([0, 1, 2]), seed=1)
    stepped = Observation(seen.network, seen.gradient, seen.shape, 2, LocalSteps(2, 0.1))
    with pytest.raises(PlanError, match="not after several"):
        head_inputs(stepped, np.array([0, 1]), seed=1)


def test_a_head_without_bias_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 3, bias=False))
    with pytest.raises(PlanError, match="weights and bias"):
        head_inputs(observed(network, pictures(1), [1]), np.array([1]), seed=1)
