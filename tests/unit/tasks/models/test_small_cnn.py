"""The small CNN: its size, its folding, its refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.small_cnn import Fold, SmallCnn


def test_it_is_as_small_as_it_says() -> None:
    count = sum(parameter.numel() for parameter in SmallCnn().build(3, 7).parameters())
    assert 50_000 < count < 70_000


def test_folding_puts_each_2x2_square_into_channels() -> None:
    image = torch.arange(2.0 * 4 * 6).reshape(1, 2, 4, 6)
    folded = Fold()(image)
    assert folded.shape == (1, 8, 2, 3)
    for channel in range(2):
        for row in range(2):
            for column in range(2):
                expected = image[0, channel, row::2, column::2]
                assert torch.equal(folded[0, 4 * channel + 2 * row + column], expected)


def test_an_odd_edge_is_padded_with_zeros() -> None:
    folded = Fold()(torch.ones(1, 1, 3, 5))
    assert folded.shape == (1, 4, 2, 3)
    assert folded.sum() == 15


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_acts_while_training_only(dropout: float) -> None:
    network = SmallCnn(8, dropout).build(1, 2)
    images = torch.randn(4, 1, 16, 16)
    network.train()
    torch.manual_seed(0)
    first = network(images)
    assert torch.equal(first, network(images)) is (dropout == 0)
    network.eval()
    assert torch.equal(network(images), network(images))
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {dropout}


@pytest.mark.parametrize(("width", "dropout", "named"), [(0, 0.1, "width"), (12, 0.1, "width"), (8, 1.0, "dropout")])
def test_what_cannot_be_built_is_refused_by_name(width: int, dropout: float, named: str) -> None:
    with pytest.raises(PlanError, match=f"model {named}"):
        SmallCnn(width, dropout)
