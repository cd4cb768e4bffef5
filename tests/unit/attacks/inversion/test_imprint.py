from __future__ import annotations

import numpy as np
import pytest
import torch
from victims import CLASSES, SIZE_PX, fed, network, observed, pictures, walked

from wardround.attacks import Imprint, Imprinted, LocalSteps, Observation
from wardround.errors import PlanError
from wardround.metrics.reconstruction import pairing

SHAPE = (3, SIZE_PX, SIZE_PX)


def seen_of(images: np.ndarray, bins: int) -> Observation:
    public = fed(pictures(200, seed=99)).mean((1, 2, 3))
    victim = Imprinted(network(), SHAPE, bins, (float(public.mean()), float(public.std())))
    return observed(victim, images, [index % CLASSES for index in range(len(images))])


def test_images_alone_in_their_bin_are_read_off_exactly() -> None:
    images = pictures(8)
    found = Imprint().run(seen_of(images, 400), seed=0).images
    assert len(found) == 8
    np.testing.assert_allclose(found[pairing(images, found)], images, atol=2e-3)


def test_images_that_share_a_bin_are_not() -> None:
    images = pictures(8)
    found = Imprint().run(seen_of(images, 2), seed=0).images
    assert len(found) < 8
    assert not any(np.allclose(one, image, atol=0.02) for one in found for image in images)


def test_it_needs_the_layer() -> None:
    with pytest.raises(PlanError, match="whoever makes the plan"):
        Imprint().run(observed(network(), pictures(1), [0]), seed=0)


def test_it_reads_one_step() -> None:
    victim, work = network(), LocalSteps(2, 0.1)
    seen = Observation(victim, walked(victim, pictures(2), [0, 1], work), SHAPE, 2, work)
    imprinted = Imprinted(victim, SHAPE, 4, (0.0, 1.0))
    slopes = {name: torch.zeros_like(value) for name, value in imprinted.named_parameters()}
    with pytest.raises(PlanError, match="one step"):
        Imprint().run(Observation(imprinted, slopes, SHAPE, 2, seen.work), seed=0)
