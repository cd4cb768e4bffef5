"""Every registered network keeps the contract."""

from __future__ import annotations

from contracts.model_contract import ModelContract

from wardround.tasks.models import (
    MODELS,
    DcGan,
    Diffusion,
    FlatCnn,
    LeNet,
    MomentsCnn,
    MonaiNet,
    RedCnn,
    ResNet18,
    ResNet50,
    Scattering,
    SmallCnn,
    StyleGan,
    UNet,
)


class TestSmallCnn(ModelContract):
    spec = SmallCnn(width=8)


class TestSmallCnnWithoutLight(ModelContract):
    spec = SmallCnn(width=8, light="centred")


class TestMomentsCnn(ModelContract):
    spec = MomentsCnn()


class TestResNet18WithoutColour(ModelContract):
    spec = ResNet18(width=8, light="grey_world")


class TestResNet18(ModelContract):
    spec = ResNet18(width=8)


class TestResNet50(ModelContract):
    spec = ResNet50(width=8)


class TestMonai(ModelContract):
    spec = MonaiNet("DenseNet", {"init_features": 8, "growth_rate": 4, "block_config": [1, 1, 1]})


class TestScattering(ModelContract):
    spec = Scattering(hidden=4)


class TestFlatCnn(ModelContract):
    spec = FlatCnn(width=8)


class TestLeNet(ModelContract):
    spec = LeNet()


CASES = (
    TestSmallCnn,
    TestMomentsCnn,
    TestResNet18,
    TestResNet50,
    TestMonai,
    TestScattering,
    TestFlatCnn,
    TestLeNet,
)


def test_no_registered_network_is_left_out() -> None:
    joined = {type(case.spec) for case in CASES}
    cuttable = {UNet, RedCnn}  # they answer for each pixel, and keep the contract of cuts
    makes = {DcGan, StyleGan, Diffusion}  # they answer with images, and keep the contract of makers
    assert joined | cuttable | makes == set(MODELS.values())
