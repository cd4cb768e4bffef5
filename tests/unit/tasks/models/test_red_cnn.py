from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from wardround.errors import PlanError
from wardround.tasks.models.cut import cut
from wardround.tasks.models.red_cnn import RedCnn


def test_it_is_the_network_of_the_paper_written_out() -> None:
    network = RedCnn(5).build(1, 1).double()
    x = torch.rand(2, 1, 24, 23, dtype=torch.float64)
    w = dict(network.named_parameters())

    def down(index: int, value: torch.Tensor) -> torch.Tensor:
        return conv2d(value, w[f"down.{index}.weight"], w[f"down.{index}.bias"]).relu()

    def up(index: int, value: torch.Tensor) -> torch.Tensor:
        return conv_transpose2d(value, w[f"up.{index}.weight"], w[f"up.{index}.bias"])

    second = down(1, down(0, x))
    fourth = down(3, down(2, second))
    out = up(4, down(4, fourth)) + fourth
    out = up(2, up(3, out.relu()).relu()) + second
    out = up(0, up(1, out.relu()).relu()) + x
    torch.testing.assert_close(network(x), out.relu(), rtol=0, atol=0)


def test_head_and_tail_are_those_of_dc_sfl() -> None:
    split = cut(RedCnn().build(1, 1), 1)
    assert sorted(split.site_names) == ["down.0.bias", "down.0.weight", "up.0.bias", "up.0.weight"]
    sizes = {name: value.numel() for name, value in split.network.named_parameters()}
    assert sizes["down.0.weight"] + sizes["down.0.bias"] == 2496
    assert sizes["up.0.weight"] + sizes["up.0.bias"] == 2401


def test_what_is_no_restoration_is_refused() -> None:
    with pytest.raises(PlanError, match="3 channels in cannot become 1 out"):
        RedCnn().build(3, 1)
    with pytest.raises(PlanError, match="width = 0"):
        RedCnn(0)
