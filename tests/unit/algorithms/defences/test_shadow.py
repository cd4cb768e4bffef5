"""The shadow defence: its maps, its two forms, its amplitude."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.defence_contract import TASK, DefenceContract
from scipy.stats import spearmanr
from torch import nn

from wardround.algorithms.defences import Shadow
from wardround.algorithms.defences.cam import grad_cam_pp
from wardround.algorithms.defences.energy import rms_of
from wardround.algorithms.defences.shadow import largest, leak_map
from wardround.algorithms.defences.twin import attacked_by, twin_of
from wardround.errors import PlanError

AT = DefenceContract()


def errors() -> torch.Tensor:
    return torch.rand((3, 3, 16, 16), generator=torch.Generator().manual_seed(0)).pow(2) * 4


def test_the_released_map_lies_elsewhere_and_the_mended_one_on_the_leak() -> None:
    """What a well-rebuilt pixel gets: rank correlation of leak and noise over one image's pixels."""
    error = errors()
    grey = torch.einsum("bchw,c->bhw", 1 / torch.softmax(error.flatten(1) / 20, 1).reshape(error.shape), GREY)
    agree = {
        aligned: spearmanr(grey[0].flatten(), leak_map(error, aligned)[0].mean(0).flatten())[0]
        for aligned in (False, True)
    }
    assert abs(agree[False]) < 0.2
    assert agree[True] > 0.95


GREY = torch.tensor([0.299, 0.587, 0.114])


def test_a_map_sums_to_one_an_image() -> None:
    for aligned in (False, True):
        assert leak_map(errors(), aligned).sum((1, 2, 3)).tolist() == pytest.approx([1, 1, 1], rel=1e-4)


def test_the_amplitude_is_the_paper_s_unless_an_energy_is_given() -> None:
    batch = AT.batch()
    fed = Shadow(fit_steps=2).begin(AT.scene(index=2)).disguise(batch)
    peaks = (fed - batch.inputs).amax((1, 2, 3)) / batch.inputs.amax((1, 2, 3)).abs()
    assert peaks.tolist() == pytest.approx([0.19 * np.exp(2 / 4)] * 3, rel=1e-3)
    even = Shadow(fit_steps=2, rms=0.07).begin(AT.scene()).disguise(batch)
    assert rms_of(even - batch.inputs).flatten().tolist() == pytest.approx([0.07] * 3, rel=1e-3)


def test_the_controls_hold_the_same_noise_elsewhere_and_turned_over() -> None:
    batch = AT.batch()
    noises = {
        aim: Shadow(fit_steps=2, aim=aim).begin(AT.scene()).disguise(batch) - batch.inputs
        for aim in ("matched", "shuffled", "anti")
    }
    true, moved, turned = (noises[aim][0].flatten().numpy() for aim in ("matched", "shuffled", "anti"))
    assert np.sort(moved) == pytest.approx(np.sort(true), rel=1e-3, abs=1e-5)
    assert not np.array_equal(moved, true)
    assert spearmanr(true, turned)[0] == pytest.approx(-1, abs=1e-3)


def test_the_twin_comes_nearer_to_the_image_and_leaves_the_network() -> None:
    network, batch = TASK.build(0), AT.batch()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin = twin_of(AT.scene().images, {}, 60, 1)
    code = twin.encoder(batch.inputs).detach()
    start = twin.rebuilt(code, batch.inputs.shape[2:]).detach()
    found = attacked_by(twin, network, code, batch.inputs, batch.targets, 20, 1e-3)
    assert (found - batch.inputs).pow(2).mean() < (start - batch.inputs).pow(2).mean()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_fitted_twin_knows_the_site_s_images() -> None:
    inputs = AT.batch().inputs
    errors = []
    for steps in (0, 100):
        twin = twin_of(AT.scene().images, {}, steps, 1)
        errors.append((twin.rebuilt(twin.encoder(inputs), inputs.shape[2:]) - inputs).pow(2).mean().item())
    assert errors[1] < errors[0] / 2


def test_the_twin_is_kept_and_goes_on() -> None:
    spec = Shadow(fit_steps=2)
    running = spec.begin(AT.scene())
    running.disguise(AT.batch())
    kept = running.keep()
    again = spec.begin(AT.scene(kept)).keep()
    assert all(np.array_equal(value, again[name]) for name, value in kept.items())


def test_a_cam_shows_where_the_class_is() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3, 1, 1), nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
        network[0].weight[0, 0, 1, 1] = 1.0  # type: ignore[index]
        network[2].weight[1] = 1.0  # type: ignore[index]
    image = torch.zeros((1, 1, 8, 8))
    image[0, 0, 2, 5] = 1.0
    cam = grad_cam_pp(network, image, torch.tensor([1]))
    assert cam.shape == (1, 8, 8)
    assert int(cam.flatten().argmax()) == 2 * 8 + 5
    assert float(cam.max()) == pytest.approx(1)
    assert float(grad_cam_pp(network, image, torch.tensor([0])).max()) == 0


def test_only_the_largest_share_of_a_map_is_left() -> None:
    maps = torch.arange(20.0).reshape(2, 1, 10)
    kept = largest(maps, 0.3)
    assert kept[0, 0].tolist() == [0] * 7 + [7, 8, 9]


def test_it_needs_a_convolution() -> None:
    scene = replace(AT.scene(), network=nn.Sequential(nn.Flatten(), nn.Linear(768, 2)))
    with pytest.raises(PlanError, match="convolutions"):
        Shadow().begin(scene)
