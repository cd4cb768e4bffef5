"""Logit adjustment: the label mix of a site leaves the model, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from wardround.algorithms import LogitAdjusted
from wardround.algorithms.logit_adjusted import Adjusted
from wardround.errors import PlanError

TASK = tiny.task()


def of_labels(counts: tuple[int, int]) -> object:
    images = tiny.images(sum(counts))
    return replace(images, labels=np.repeat([0, 1], counts).astype(np.int64))


def test_the_loss_is_that_of_shifted_logits() -> None:
    running = Adjusted(0.7).begin(TASK, nn.Identity(), of_labels((9, 3)), {})
    logits, labels = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    shift = 0.7 * torch.log(torch.tensor([10 / 14, 4 / 14]))
    expected = nn.functional.cross_entropy(logits + shift, labels)
    torch.testing.assert_close(running.loss(nn.Identity(), logits, labels, 0.0), expected)
    assert running.finish() == ({}, {})


def fitted(counts: tuple[int, int], adjusted: bool) -> float:
    """The logit for class 1 that fits a site best where images say nothing."""
    images = of_labels(counts)
    running = Adjusted(1.0 if adjusted else 1e-9).begin(TASK, nn.Identity(), images, {})
    bias = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.LBFGS([bias], max_iter=100)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = running.loss(nn.Identity(), bias.expand(len(images), 2), torch.from_numpy(images.labels), 0.0)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float((bias[1] - bias[0]).detach())


def test_two_sites_with_opposite_label_mixes_agree_once_it_is_taken_out() -> None:
    plain = [fitted(counts, adjusted=False) for counts in ((300, 20), (20, 300))]
    assert plain[1] - plain[0] > 5
    assert all(abs(fitted(counts, adjusted=True)) < 0.1 for counts in ((300, 20), (20, 300)))


def test_a_class_that_a_site_lacks_gives_a_finite_shift() -> None:
    running = Adjusted(1.0).begin(TASK, nn.Identity(), of_labels((12, 0)), {})
    assert torch.isfinite(running.shift).all()


@pytest.mark.parametrize("tau", [0.0, -1.0, float("inf")])
def test_a_strength_that_is_not_positive_is_refused(tau: float) -> None:
    with pytest.raises(PlanError, match="tau"):
        LogitAdjusted(tau)
