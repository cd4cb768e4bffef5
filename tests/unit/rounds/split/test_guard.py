from __future__ import annotations

from pathlib import Path

import cut_sites
import numpy as np
import pytest
import torch

from wardround.rounds.digests import digest_of
from wardround.rounds.split.guard import CutGuard, distance_correlation, guard_of
from wardround.rounds.split.rules import SplitRules


def slow_distance_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Székely et al. 2007, definitions 4 and 5, loop by loop."""

    def centred(v: np.ndarray) -> np.ndarray:
        n = len(v)
        d = np.array([[np.linalg.norm(v[i] - v[j]) for j in range(n)] for i in range(n)])
        return np.array([[d[i, j] - d[i].mean() - d[:, j].mean() + d.mean() for j in range(n)] for i in range(n)])

    a, b = centred(x), centred(y)
    return float((a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean()))


def test_distance_correlation_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 5))
    for y in (x, 3 * x + 1, rng.standard_normal((6, 4)), x[:, :2] ** 2):
        found = distance_correlation(torch.from_numpy(x), torch.from_numpy(np.asarray(y)))
        assert float(found) == pytest.approx(slow_distance_correlation(x, y), abs=1e-4)
    assert float(distance_correlation(torch.from_numpy(x), torch.from_numpy(3 * x + 1))) == pytest.approx(1, abs=1e-4)


def test_decorrelation_adds_its_own_gradient_and_changes_no_value() -> None:
    images, activation = torch.rand(4, 1, 4, 4), torch.rand(4, 2, 3, 3, requires_grad=True)
    sent = CutGuard(0.0, 0.5).protect(activation, images)
    assert torch.equal(sent, activation)
    weights = torch.rand_like(activation)
    (found,) = torch.autograd.grad((sent * weights).sum(), activation)
    whole = (activation * weights).sum() + 0.5 * distance_correlation(activation, images)
    (expected,) = torch.autograd.grad(whole, activation)
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, weights)


def test_noise_has_the_spread_that_the_plan_says_and_passes_gradients() -> None:
    torch.manual_seed(1)
    activation = (3 * torch.randn(8, 4, 16, 16)).requires_grad_()
    sent = CutGuard(0.5, 0.0).protect(activation, torch.zeros(8, 1, 2, 2))
    assert float((sent - activation).detach().std()) == pytest.approx(1.5, rel=0.03)
    (gradient,) = torch.autograd.grad(sent.sum(), activation)
    assert torch.equal(gradient, torch.ones_like(activation))


def test_without_protection_there_is_none() -> None:
    assert guard_of(SplitRules()) is None
    assert guard_of(SplitRules(noise_sd=1.0)) is not None


@pytest.mark.parametrize("rules", [{"noise_sd": 0.5}, {"decorrelation": 1.0}], ids=("noise", "decorrelation"))
def test_sites_train_with_the_protection_and_the_run_is_repeatable(tmp_path: Path, rules: dict[str, float]) -> None:
    plain, *_ = cut_sites.run(cut_sites.plan("interleaved"), tmp_path / "plain")
    first, *_ = cut_sites.run(cut_sites.plan("interleaved", rules), tmp_path / "a")
    again, *_ = cut_sites.run(cut_sites.plan("interleaved", rules), tmp_path / "b", encoded=False)
    assert digest_of(first.weights) == digest_of(again.weights)
    assert digest_of(first.weights) != digest_of(plain.weights)
