"""Every network that makes images keeps one contract, however it learned to."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from wardround.tasks import Synthesis
from wardround.tasks.models import MODELS, DcGan, Diffusion, ModelSpec, StyleGan
from wardround.tasks.models.making import Maker


class MakerContract:
    """Join with one line: ``class TestMine(MakerContract): spec = Mine(16)``."""

    spec: ModelSpec

    def built(self, channels: int = 1, classes: int = 2) -> Maker:
        torch.manual_seed(1)
        network = self.spec.build(channels, classes).eval()
        assert isinstance(network, Maker)
        return network

    @pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 7)])
    def test_it_makes_images_of_its_size_from_black_to_white(self, channels: int, classes: int) -> None:
        maker = self.built(channels, classes)
        inputs = torch.cat([torch.randn(3, maker.latent), torch.eye(classes)[[0, 1, 1]]], dim=1)
        with torch.no_grad():
            made = maker.make(inputs)
        assert made.shape == (3, channels, maker.size_px, maker.size_px) == (3, channels, 16, 16)
        assert made.dtype == torch.float32
        assert made.abs().max() <= 2

    def test_the_inputs_decide_the_images(self) -> None:
        maker = self.built()
        noise, other, told = torch.randn(1, maker.latent), torch.randn(1, maker.latent), torch.eye(2)
        with torch.no_grad():
            first, again, of_other_class, of_other_noise = (
                maker.make(torch.cat([numbers, told[label : label + 1]], dim=1))
                for numbers, label in ((noise, 0), (noise, 0), (noise, 1), (other, 0))
            )
        assert torch.equal(first, again)
        assert not torch.allclose(first, of_other_class, atol=1e-4)
        assert not torch.allclose(first, of_other_noise, atol=1e-4)

    def test_the_task_draws_from_it(self) -> None:
        task = Synthesis(self.spec, 3, tiny.CLASSES)
        made = task.draw(task.build(1), np.array([0, 1, 1]), np.random.default_rng(1))
        assert (made.shape, made.dtype) == ((3, 16, 16, 3), np.uint8)
        assert task.draw(task.build(1), np.zeros(0, np.int64), np.random.default_rng(1)).shape == (0, 16, 16, 3)


class TestDcGan(MakerContract):
    spec = DcGan(16, width=4, latent=4)


class TestStyleGan(MakerContract):
    spec = StyleGan(16, width=4, latent=4)


class TestDiffusion(MakerContract):
    spec = Diffusion(16, width=12, steps=3)


CASES = (TestDcGan, TestStyleGan, TestDiffusion)


def test_nothing_that_makes_images_is_left_out() -> None:
    assert {type(case.spec) for case in CASES} == {kind for kind in MODELS.values() if "sample" in kind.answers}
