"""Fixed bodies: their features are computed once, image by image, and mean what the network means."""

from __future__ import annotations

import gc
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from wardround.algorithms.parts import freeze, frozen_weights
from wardround.errors import PlanError
from wardround.tasks import inputs
from wardround.tasks.inputs import to_input, trained_part
from wardround.tasks.models import MomentsCnn, MonaiNet, ResNet18, Scattering, SmallCnn

IMAGES = tiny.images(6)


class Counting(nn.Module):
    """A body that counts the images it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return images.mean(dim=(2, 3))


def counted() -> tuple[nn.Module, Counting]:
    body = Counting()
    return nn.Sequential(OrderedDict(body=body, head=nn.Linear(3, 2))), body


def with_frozen_body(model: SmallCnn | ResNet18 | MonaiNet) -> nn.Module:
    torch.manual_seed(0)
    network = model.build(3, 2)
    freeze(network, frozen_weights(network, "head"))
    return network


@pytest.mark.parametrize("model", [SmallCnn(8), ResNet18(4), MonaiNet("DenseNet", {"init_features": 4})])
def test_head_on_features_is_the_network_on_images(model: SmallCnn | ResNet18 | MonaiNet) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    images = replace(tiny.images(4), pixels=pixels)
    network = with_frozen_body(model)
    part = trained_part(network)
    assert part.body is not None
    found = part.module(part.inputs(images, np.arange(4)))
    with torch.no_grad():
        torch.testing.assert_close(found, network.eval()(to_input(images.batch(slice(None)))), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model", [Scattering(1), MomentsCnn()])
def test_bodies_that_differ_in_a_constant_share_no_features(model: Scattering | MomentsCnn) -> None:
    images = replace(tiny.images(2), pixels=np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8))
    found = []
    for factor in (1, 2):
        torch.manual_seed(0)
        network = replace(model, scale=factor * model.scale).build(3, 2)
        freeze(network, frozen_weights(network, "head"))
        found.append(trained_part(network).inputs(images, np.arange(2)))
    torch.testing.assert_close(found[1], 2 * found[0])


def test_a_network_with_a_weight_to_train_before_its_head_is_trained_as_a_whole() -> None:
    network = SmallCnn(8).build(3, 2)
    part = trained_part(network)
    assert (part.module, part.prefix, part.body) == (network, "", None)
    torch.testing.assert_close(part.inputs(IMAGES, np.arange(2)), to_input(IMAGES.batch([0, 1])))


def test_every_image_is_seen_once_whatever_is_asked_for() -> None:
    network, body = counted()
    images = tiny.images(6)
    first = trained_part(network).inputs(images, np.array([0, 3, 3]))
    assert body.seen == 2
    again = trained_part(network).inputs(images.take([3, 0, 5]), np.array([1, 0, 2]))
    assert body.seen == 3
    torch.testing.assert_close(again[0], first[0], rtol=0, atol=0)
    torch.testing.assert_close(again[1], first[1], rtol=0, atol=0)


def test_no_bit_depends_on_which_images_are_asked_for_together() -> None:
    alone, together = tiny.images(6), tiny.images(6)  # two blocks of pixels
    network = with_frozen_body(SmallCnn(8))
    whole = trained_part(network).inputs(together, np.arange(6))
    for row in (4, 1):
        one = trained_part(network).inputs(alone, np.array([row]))
        assert torch.equal(one[0], whole[row])


def test_another_body_and_another_block_of_pixels_have_features_of_their_own() -> None:
    images = tiny.images(6)
    network = with_frozen_body(SmallCnn(8))
    first = trained_part(network).inputs(images, np.array([0]))
    with torch.no_grad():
        next(network.parameters()).mul_(2)
    assert not torch.equal(trained_part(network).inputs(images, np.array([0])), first)
    other = tiny.images(6, seed=1)
    assert not torch.equal(trained_part(network).inputs(other, np.array([0])), first)


def test_features_go_when_their_pixels_go() -> None:
    network, body = counted()
    images = tiny.images(6)
    trained_part(network).inputs(images, np.array([0]))
    key = id(images.pixels)
    del images
    gc.collect()
    others = [tiny.images(6, seed=seed) for seed in range(8)]
    for other in others:
        trained_part(network).inputs(other, np.array([0]))
    assert len(inputs._BLOCKS) <= 4
    assert all(kept.pixels() is not None for kept in inputs._BLOCKS.values())
    assert body.seen == 9, f"block {key} was taken for a new one at its address"


def test_dropout_before_the_head_does_not_reach_the_features() -> None:
    network = with_frozen_body(SmallCnn(8, dropout=0.5)).train()
    part = trained_part(network)
    fed = part.inputs(IMAGES, np.array([0]))
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(part.module(fed), network(to_input(IMAGES.batch([0]))))


class Sharpened(nn.Module):
    """Does something after its last linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 2 * self.linear(images.mean(dim=(2, 3)))


def test_a_last_layer_that_is_not_the_end_is_refused() -> None:
    with pytest.raises(PlanError, match='parts = "all"'):
        trained_part(Sharpened()).inputs(IMAGES, np.array([0]))
