"""The task of making images: what is drawn, what is measured, and that each network's loss points the right way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from wardround.errors import PlanError
from wardround.metrics.features import FeaturePairs
from wardround.study.build import joined
from wardround.tasks import TASKS, Synthesis, Synthesise
from wardround.tasks.models import DcGan
from wardround.tasks.synthesis import discriminator_loss, generator_loss

TASK = Synthesis(DcGan(16, width=4, latent=4), 3, tiny.CLASSES)


def draw(labels: list[int], seed: int = 0) -> np.ndarray:
    return TASK.draw(TASK.build(1), np.array(labels, np.int64), np.random.default_rng(seed))


def test_the_plan_s_choice_makes_the_task() -> None:
    assert TASKS["synthesis"] is Synthesise
    images = tiny.masked()
    made = Synthesise().task(TASK.model, 3, *Synthesise().names(images))
    assert made == TASK
    assert made.facts == {"task": "synthesis", "classes": tiny.CLASSES, "channels": 3}
    assert made.counts(images).tolist() == [6, 6]
    assert made.targets(images, np.array([0, 3])).tolist() == [0, 1]


def test_one_image_is_drawn_for_each_label_and_the_noise_decides_which() -> None:
    first, again, other = draw([0, 1, 1]), draw([0, 1, 1]), draw([0, 1, 1], seed=2)
    assert first.shape == (3, 16, 16, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(draw([0, 0]), draw([1, 1]))
    assert draw([]).shape == (0, 16, 16, 3)


def test_levels_cover_black_to_white() -> None:
    ends = torch.tensor([-2.0, 0.0, 2.0]).reshape(3, 1, 1, 1)
    assert TASK.answer(lambda inputs: inputs, ends).reshape(-1).tolist() == [0, 128, 255]


def test_it_measures_as_many_synthetic_images_of_the_same_classes() -> None:
    images = tiny.masked(30)
    found = TASK.evaluate(TASK.build(1), images)
    assert isinstance(found, FeaturePairs)
    assert found.real.shape == found.made.shape == (30, 64)
    assert np.array_equal(found.labels, images.labels)
    assert not np.allclose(found.real, found.made)


def test_pooled_images_are_measured_with_the_noise_of_their_sites() -> None:
    parts = [replace(tiny.masked(8, site), origins=np.full(8, site)) for site in ("east", "west")]
    block = np.concatenate([part.pixels for part in parts])
    views = [replace(p, pixels=block, masks=None, rows=p.rows + 8 * place) for place, p in enumerate(parts)]
    network = TASK.build(1)
    apart = np.concatenate([TASK.evaluate(network, view).made for view in views])
    assert np.allclose(TASK.evaluate(network, joined(views)).made, apart, atol=1e-5)


def test_the_losses_pull_in_opposite_directions() -> None:
    class Verdict(torch.nn.Module):
        """Judges an image by its mean."""

        def forward(self, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(1, 2, 3)) * 4

    bright, dark, classes = torch.ones(2, 1, 4, 4), -torch.ones(2, 1, 4, 4), torch.tensor([0, 1])
    judge = Verdict()
    assert discriminator_loss(judge, bright, dark, classes) < 0.1
    assert discriminator_loss(judge, dark, bright, classes) > 4
    assert generator_loss(judge, bright, classes) < 0.1
    assert generator_loss(judge, dark, classes) > 4
    halves = torch.nn.functional.softplus(torch.tensor([-4.0, -4.0]))
    assert discriminator_loss(judge, bright, dark, classes).item() == pytest.approx(halves.sum().item(), rel=1e-6)


def test_the_loss_of_a_batch_is_the_discriminators() -> None:
    network, images = TASK.build(1), torch.randn(4, 3, 16, 16)
    TASK.loss(network, images, torch.tensor([0, 1, 0, 1])).backward()
    assert all(p.grad is None for p in network.generator.parameters())
    assert all(p.grad is not None for p in network.discriminator.parameters())


def test_what_makes_no_images_or_others_is_refused() -> None:
    with pytest.raises(PlanError, match="choose the model dcgan or style_gan"):
        TASK.loss(torch.nn.Linear(2, 2), torch.zeros(1, 3, 16, 16), torch.tensor([0]))
    with pytest.raises(PlanError, match="the real ones have 32 x 32"):
        TASK.loss(TASK.build(1), torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]))
    with pytest.raises(PlanError, match="the real ones have 8 x 8"):
        TASK.evaluate(TASK.build(1), tiny.images())
