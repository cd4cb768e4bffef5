"""Networks that can be cut; each joins by one class."""

from __future__ import annotations

import copy

import pytest
import torch
from contracts.cut_contract import CutContract

from wardround.errors import PlanError
from wardround.tasks.models import ModelSpec, SmallCnn
from wardround.tasks.models.cut import cut
from wardround.tasks.models.monai_levels import fence, monai_shape
from wardround.tasks.models.red_cnn import RedCnn
from wardround.tasks.models.unet import UNet


class TestUNet(CutContract):
    depths = 3

    def spec(self) -> ModelSpec:
        return UNet((4, 8, 8, 16))


class TestUNetOfTwoLevels(CutContract):
    depths = 1
    outputs = 2

    def spec(self) -> ModelSpec:
        return UNet((6, 9))


class TestRedCnn(CutContract):
    depths = 4

    def spec(self) -> ModelSpec:
        return RedCnn(6)


class MonaiSpec:
    """A network of MONAI that gives images, not classes."""

    def __init__(self, make: object) -> None:
        self.make = make

    def build(self, channels: int, classes: int) -> torch.nn.Module:
        return self.make(channels, classes)  # type: ignore[operator,no-any-return]


def monai_unet(channels: int, outputs: int) -> torch.nn.Module:
    from monai.networks.nets import UNet as Monai

    return Monai(2, channels, outputs, channels=(4, 8, 16), strides=(2, 2))


def monai_residual(channels: int, outputs: int) -> torch.nn.Module:
    from monai.networks.nets import UNet as Monai

    network = Monai(2, channels, outputs, channels=(4, 8, 16, 16), strides=(2, 2, 1), num_res_units=2, norm="batch")
    fence(network)
    return network


def monai_basic(channels: int, outputs: int) -> torch.nn.Module:
    from monai.networks.nets import BasicUNet

    return BasicUNet(2, channels, outputs, features=(4, 4, 6, 8, 8, 4), norm=("group", {"num_groups": 2}))


class TestMonaiUNet(CutContract):
    depths = 2

    def spec(self) -> ModelSpec:
        return MonaiSpec(monai_unet)


class TestMonaiUNetWithResidualUnits(CutContract):
    depths = 3

    def spec(self) -> ModelSpec:
        return MonaiSpec(monai_residual)


class TestMonaiBasicUNet(CutContract):
    depths = 4

    def spec(self) -> ModelSpec:
        return MonaiSpec(monai_basic)


def test_without_a_fence_residual_units_differ_from_a_cut_by_rounding_alone() -> None:
    from monai.networks.nets import UNet as Monai

    torch.manual_seed(1)
    plain = Monai(2, 1, 1, channels=(4, 8, 16), strides=(2, 2), num_res_units=2)
    fenced = copy.deepcopy(plain)
    fence(fenced)
    images = torch.rand(3, 1, 32, 32)
    for network in (plain, fenced):
        network(images).square().mean().backward()
    assert torch.equal(plain(images), fenced(images))
    pairs = [(a.grad, b.grad) for a, b in zip(plain.parameters(), fenced.parameters(), strict=True)]
    assert not all(torch.equal(a, b) for a, b in pairs)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_a_network_without_levels_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="Sequential cannot be cut"):
        cut(SmallCnn(8).build(1, 2), 1)


def test_a_network_of_monai_without_levels_is_refused() -> None:
    from monai.networks.nets import AttentionUnet

    network = AttentionUnet(2, 1, 1, (4, 8), (2,))
    assert monai_shape(network) is None
    with pytest.raises(PlanError, match="AttentionUnet cannot be cut"):
        cut(network, 1)
