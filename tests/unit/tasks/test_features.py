"""What the head is fed, held while a network predicts."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from wardround.tasks.features import features_seen
from wardround.tasks.inputs import to_input

IMAGES = tiny.images(9)


def test_features_are_what_the_head_turns_into_logits() -> None:
    network = tiny.task().build(0).eval()
    with features_seen(network) as features:
        predictions = tiny.task().evaluate(network, IMAGES)
    found = torch.from_numpy(np.concatenate(features))
    head = network[-1]
    logits = head(found).detach()
    np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), predictions.probabilities, rtol=1e-5)
    assert not head._forward_pre_hooks


def test_the_hook_goes_also_when_something_fails() -> None:
    network = tiny.task().build(0)
    with pytest.raises(RuntimeError, match="no"), features_seen(network):
        raise RuntimeError("no")
    assert not network[-1]._forward_pre_hooks


def test_a_network_without_a_head_gives_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with features_seen(network) as features:
        network(to_input(IMAGES.batch(slice(None))))
    assert features == []
