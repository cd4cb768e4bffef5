"""Defences on gradients and updates, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contracts.defence_contract import TASK, DefenceContract
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wardround.algorithms.defences import Censor, GaussianUpdate, RunningDefence, Soteria
from wardround.algorithms.defences.base import looked_at
from wardround.algorithms.defences.soteria import loudness
from wardround.algorithms.defences.updates import pruned
from wardround.errors import PlanError

AT = DefenceContract()


def stepped() -> nn.Module:
    """Return a network after a backward pass on some of the site's images."""
    network, batch = TASK.build(0).train(), AT.batch()
    torch.autograd.backward(TASK.loss(network, batch.inputs, batch.targets))
    return network


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.01, 0.99), size=st.integers(1, 40), seed=st.integers(0, 50))
def test_pruning_keeps_the_largest_and_nothing_else(share: float, size: int, seed: int) -> None:
    value = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    left = pruned(value, share)
    zeros = left == 0
    assert zeros.sum() == min(int(share * size), size - 1)
    assert (left[~zeros] == value[~zeros]).all()
    assert not zeros.any() or np.abs(value[zeros]).max() <= np.abs(left[~zeros]).min()


def test_gaussian_noise_is_a_share_of_the_update_s_length_and_leaves_other_groups() -> None:
    change = {"net/a": np.full((200, 200), 0.01, np.float32), "centre/classes": np.ones(3, np.float32)}
    running = GaussianUpdate(share=0.5, randomness="seed").begin(AT.scene())
    noisy = running.leave(change)
    noise = noisy["net/a"] - change["net/a"]
    assert np.linalg.norm(noise) == pytest.approx(0.5 * np.linalg.norm(change["net/a"]), rel=0.02)
    assert noisy["centre/classes"] is change["centre/classes"]
    again = running.leave(change)["net/a"]
    assert not np.array_equal(again, noisy["net/a"])


def test_soteria_s_estimate_is_the_norm_of_the_jacobian_s_rows() -> None:
    torch.manual_seed(0)
    body, head = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh()), nn.Linear(5, 2)
    inputs = torch.randn((2, 3, 2, 2))
    found = loudness(nn.Sequential(body, head), head, inputs, 3000, torch.Generator().manual_seed(1))
    exact = torch.zeros(5)
    for image in inputs:
        rows = torch.autograd.functional.jacobian(lambda x: body(x[None])[0], image).reshape(5, -1)  # type: ignore[no-untyped-call]
        exact += rows.norm(dim=1) / (body(image[None])[0].abs() + 0.1) / 2
    torch.testing.assert_close(found, exact.detach(), rtol=0.05, atol=0)


def test_soteria_takes_a_share_of_the_head_s_columns_and_nothing_else() -> None:
    network = stepped()
    before = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    head = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1] + ".weight"
    scene = AT.scene()
    running = Soteria(share=0.25).begin(type(scene)(scene.task, network, scene.images, {}, scene.ctx))
    running.adjust(network, AT.batch(), 0.1)
    after = {name: value.grad for name, value in network.named_parameters()}
    gone = (after[head] == 0).all(0) & (before[head] != 0).any(0)
    assert int(gone.sum()) == int(0.25 * before[head].shape[1])
    assert torch.equal(after[head][:, ~gone], before[head][:, ~gone])
    assert all(torch.equal(value, after[name]) for name, value in before.items() if name != head)


def test_soteria_needs_a_linear_head() -> None:
    scene = AT.scene()
    network = nn.Sequential(nn.Conv2d(3, 2, 16), nn.Flatten())
    with pytest.raises(PlanError, match="ends in one linear layer"):
        Soteria().begin(type(scene)(scene.task, network, scene.images, {}, scene.ctx))


def test_censor_s_gradient_is_orthogonal_as_long_and_the_best_of_its_trials() -> None:
    before = {name: value.grad.clone() for name, value in stepped().named_parameters() if value.grad is not None}
    losses = {}
    for trials in (1, 12):
        network = stepped()
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        running = Censor(trials=trials, randomness="seed").begin(AT.scene())
        running.adjust(network, AT.batch(), 0.5)
        assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
        for name, parameter in network.named_parameters():
            slope = parameter.grad
            assert slope is not None
            assert float(slope.norm()) == pytest.approx(float(before[name].norm()), rel=1e-4)
            cosine = float((slope * before[name]).sum() / before[name].norm() ** 2)
            assert cosine == pytest.approx(0, abs=1e-3)
            with torch.no_grad():
                parameter.sub_(0.5 * slope)
        with torch.no_grad(), looked_at(network):
            losses[trials] = TASK.loss(network, AT.batch().inputs, AT.batch().targets).item()
    assert losses[12] < losses[1]


def test_censor_rests_after_its_first_rounds() -> None:
    begun = [Censor(first_rounds=2, randomness="seed").begin(AT.scene(index=index)) for index in (1, 2)]
    assert [type(one) is RunningDefence for one in begun] == [False, True]
    assert type(Censor(first_rounds=0).begin(AT.scene(index=3))) is not RunningDefence
