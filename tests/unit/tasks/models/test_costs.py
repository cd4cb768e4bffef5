from __future__ import annotations

import torch

from wardround.tasks.models.costs import Costs, site_costs, whole_costs
from wardround.tasks.models.unet import UNet


def test_a_convolution_counts_what_it_computes() -> None:
    network = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)
    images = torch.rand(2, 3, 8, 8)
    forward = 2 * 2 * 8 * 8 * 5 * 3 * 9
    # Backward once for the weights; the images ask for no gradient.
    assert whole_costs(network, images) == Costs(3 * 5 * 9, 2 * forward, images.numel() * 4)


def test_the_deeper_the_cut_the_more_a_site_does() -> None:
    network, images = UNet((4, 8, 16)).build(1, 1), torch.rand(2, 1, 16, 16)
    whole = whole_costs(network, images)
    shallow, deep = (site_costs(network, depth, images) for depth in (1, 2))
    for name in ("parameters", "flops", "kept_bytes"):
        assert 0 < getattr(shallow, name) < getattr(deep, name) < getattr(whole, name)
    assert whole.share_of(whole) == Costs(100, 100, 100)
    assert all(value.grad is None for value in network.parameters())
