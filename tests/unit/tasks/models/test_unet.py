from __future__ import annotations

import pytest
import torch

from wardround.errors import PlanError
from wardround.tasks.models.cut import cut
from wardround.tasks.models.unet import UNet


@pytest.mark.parametrize("size", [(16, 16), (17, 22), (8, 9)])
def test_the_output_has_the_size_of_the_image(size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert UNet((4, 8, 8, 16)).build(3, 2)(torch.rand(2, 3, *size)).shape == (2, 2, *size)


def test_an_output_depends_on_its_own_image_alone() -> None:
    network = UNet((4, 8)).build(1, 1)
    images = torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(images)[1:2], network(images[1:2]))


@pytest.mark.parametrize("widths", [(), (16,), (16, 0), (-1, 4)])
def test_widths_that_make_no_u_are_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(PlanError, match="two or more positive numbers"):
        UNet(widths)


@pytest.mark.parametrize(("depth", "share"), [(1, 0.025), (2, 0.128), (3, 0.541)])
def test_what_a_site_holds_of_the_weights(depth: int, share: float) -> None:
    network = UNet().build(3, 1)
    split = cut(network, depth)
    held = sum(value.numel() for name, value in network.named_parameters() if name in split.site_names)
    assert held / sum(value.numel() for value in network.parameters()) == pytest.approx(share, abs=0.001)


@pytest.mark.parametrize(("depth", "mebibytes"), [(1, 3.0), (2, 1.5), (3, 0.75)])
def test_what_a_step_of_eight_images_sends(depth: int, mebibytes: float) -> None:
    split = cut(UNet().build(3, 1), depth)
    with torch.no_grad():
        activation, _ = split.head(torch.rand(8, 3, 64, 64))
        output = split.body(activation)
    assert 2 * 4 * (activation.numel() + output.numel()) == mebibytes * 2**20
