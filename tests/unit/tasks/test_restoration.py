"""Restoration: from what was seen to the clean image, its loss, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.feeding import training_batch
from wardround.data.catalogue import Phantoms, Slide
from wardround.data.degradations import PhotonNoise
from wardround.data.sites import Natural, Parts, partition
from wardround.errors import DataError, PlanError
from wardround.tasks import Restoration, Restore
from wardround.tasks.inputs import to_input, trained_part
from wardround.tasks.models import MonaiNet, SmallCnn

MODEL = MonaiNet("UNet", {"channels": [8, 16], "strides": [2]})
TASK = Restoration(MODEL, 1, residual=True)


def silent(inputs: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(inputs)


def test_a_network_is_fed_and_gives_levels_from_0_to_1() -> None:
    images = tiny.degraded(3)
    inputs = to_input(images.fed(slice(None)))
    np.testing.assert_allclose(TASK.answer(silent, inputs), images.fed(slice(None)) / 255, atol=1e-6)
    assert not replace(TASK, residual=False).answer(silent, inputs).any()
    targets = TASK.targets(images, np.arange(3))
    expected = np.mean((images.fed(slice(None)) / 255.0 - images.batch(slice(None)) / 255.0) ** 2)
    assert TASK.loss(silent, inputs, targets).item() == pytest.approx(expected, rel=1e-4)


def test_a_network_that_does_nothing_gains_nothing() -> None:
    images = tiny.degraded(5)
    network = nn.Conv2d(1, 1, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    found = TASK.evaluate(network, images)
    np.testing.assert_allclose(found.values["gain_db"], 0, atol=1e-4)
    assert len(TASK.evaluate(network, images.take([]))) == 0
    assert TASK.counts(images).shape == (0,)


def test_it_learns_to_take_noise_out() -> None:
    images = tiny.degraded(16)
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 1, 5, padding=2))
    optimiser = torch.optim.AdamW(network.parameters(), 0.003)
    for _ in range(100):
        loss = TASK.loss(network.train(), to_input(images.fed(slice(None))), TASK.targets(images, np.arange(16)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    unseen = tiny.degraded(8, seed=5)
    assert TASK.evaluate(network, unseen).values["gain_db"].mean() > 3


def test_the_clean_image_moves_with_what_was_seen_of_it() -> None:
    images = tiny.degraded(12)
    copied = replace(images, degraded=images.pixels)
    torch.manual_seed(2)
    inputs, targets = training_batch(
        TASK, trained_part(TASK.build(1)), copied, np.arange(12), AUGMENTATIONS["dihedral"]
    )
    torch.testing.assert_close(inputs.add(2).div(4), targets, atol=1e-6, rtol=0)
    assert (targets != TASK.targets(copied, np.arange(12))).any()


def test_colour_images_are_restored_in_grey() -> None:
    colour, grey = Slide(stride_px=16).load(None), Restore().load(Slide(stride_px=16), None)
    assert grey.shape == (16, 16, 1)
    assert len(grey) == len(colour)


def test_images_smaller_than_the_window_of_ssim_are_refused() -> None:
    with pytest.raises(DataError, match="windows of 11 pixels"):
        Restore().load(Phantoms(images=12, size_px=8), None)


def test_a_degradation_for_a_site_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path))
    sites = partition(Phantoms(images=12, size_px=16).load(None), Natural(), Parts(), 0)
    choice = Restore(degradation=(PhotonNoise(sites=("moon",)), PhotonNoise()))
    with pytest.raises(PlanError, match="names site 'moon', but the sites are scanner-1, "):
        choice.completed(sites, 0, whole=True)
    assert list(choice.completed(sites, 0, whole=False)) == list(sites)  # a hospital does not know the others


def test_a_network_that_answers_otherwise_is_refused() -> None:
    task = Restoration(SmallCnn(8), 1)
    with pytest.raises(PlanError, match="an image for each image"):
        task.loss(task.build(1), torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16))
