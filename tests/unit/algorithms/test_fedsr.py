"""FedSR's objective against its formula, and centres that all sites share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from rigged import run
from torch import nn

from wardround.algorithms import FedSr
from wardround.algorithms.fedsr import CENTRES, RunningSimple, Simple, WithCentres
from wardround.algorithms.server import ServerSgd
from wardround.errors import PlanError
from wardround.study.spec import parse

TASK = tiny.task()
BODY, HEAD = nn.Linear(5, 4), nn.Linear(4, 2)
NETWORK = nn.Sequential(BODY, nn.Tanh(), HEAD)
INPUTS, LABELS = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 1, 0, 1, 1])


def running(spec: FedSr, centres: np.ndarray) -> RunningSimple:
    return Simple(spec).begin(TASK, NETWORK, tiny.images(6), {CENTRES: centres})


def test_the_loss_is_the_paper_s_with_one_variance() -> None:
    spec = FedSr(l2r=0.3, cmi=0.2, sigma=0.5)
    centres = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    torch.manual_seed(4)
    found = running(spec, centres).loss(NETWORK, INPUTS, LABELS, 0.0)
    torch.manual_seed(4)
    features = torch.tanh(BODY(INPUTS))
    noisy = features + 0.5 * torch.randn_like(features)
    apart = ((features - torch.from_numpy(centres)[LABELS]) ** 2).sum(1)
    expected = nn.functional.cross_entropy(HEAD(noisy), LABELS) + 0.3 * (noisy**2).sum(1).mean()
    torch.testing.assert_close(found, expected + 0.2 * (apart / (2 * 0.25)).mean())


def test_the_distance_is_that_of_two_normal_laws() -> None:
    z, r = (torch.distributions.Normal(torch.randn(3, 4), 0.5) for _ in range(2))
    divergence = torch.distributions.kl_divergence(z, r).sum(1)
    torch.testing.assert_close(divergence, ((z.mean - r.mean) ** 2).sum(1) / (2 * 0.25))


def test_no_noise_is_left_behind() -> None:
    objective = running(FedSr(sigma=5.0), np.zeros((2, 4), np.float32))
    before = NETWORK(INPUTS)
    objective.loss(NETWORK, INPUTS, LABELS, 0.0)
    with pytest.raises(IndexError):
        objective.loss(NETWORK, INPUTS, torch.full((6,), 9), 0.0)
    assert torch.equal(NETWORK(INPUTS), before)
    assert not HEAD._forward_pre_hooks


def test_centres_move_towards_the_mean_features_of_their_class() -> None:
    objective = running(FedSr(), np.zeros((2, 4), np.float32))
    for _ in range(60):
        objective.loss(NETWORK, INPUTS, LABELS, 0.0)
    change, memory = objective.finish()
    features = torch.tanh(BODY(INPUTS)).detach()
    for label in (0, 1):
        np.testing.assert_allclose(change[CENTRES][label], features[LABELS == label].mean(0).numpy(), atol=1e-4)
    assert memory == {}


def test_a_class_that_a_site_lacks_keeps_its_centre() -> None:
    objective = running(FedSr(), np.ones((2, 4), np.float32))
    objective.loss(NETWORK, INPUTS[:1], LABELS[:1], 0.0)
    assert not objective.finish()[0][CENTRES][1].any()


def test_the_server_keeps_the_mean_of_the_centres(tmp_path: Path) -> None:
    step = WithCentres(ServerSgd())
    weights = {"net/0.weight": np.ones((4, 5), np.float32), "net/2.weight": np.ones((2, 4), np.float32)}
    state = step.start(weights)
    assert state[CENTRES].shape == (2, 4)
    mean = {**weights, CENTRES: np.full((2, 4), 0.5, np.float32)}
    assert (step.apply(state, mean, tiny.context())[CENTRES] == 0.5).all()
    _, journal, _ = run(tiny.plan(algorithm={"name": "fedsr"}), tmp_path)
    assert journal.state is not None
    assert journal.state[CENTRES].any()


def test_a_network_without_one_head_is_refused() -> None:
    with pytest.raises(PlanError, match="ends in one linear layer"):
        Simple(FedSr()).begin(TASK, nn.Conv2d(3, 2, 1), tiny.images(6), {CENTRES: np.zeros((2, 4), np.float32)})
    with pytest.raises(PlanError, match="ends in one linear layer"):
        WithCentres(ServerSgd()).start({"net/a": np.ones(3, np.float32)})
    for fixed in ({"training": {"parts": "head"}}, {"model": {"name": "scattering"}}):
        with pytest.raises(PlanError, match="shapes the features"):
            parse({"name": "x", "algorithm": {"name": "fedsr"}, **fixed})


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"l2r": -1.0}, {"cmi": np.inf}, {"sigma": 0.0}):
        with pytest.raises(PlanError):
            FedSr(**wrong)
