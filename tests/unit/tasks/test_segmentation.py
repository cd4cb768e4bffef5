"""Segmentation: from pixels to masks, its loss, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from monai.losses import DiceLoss
from torch import nn

from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.feeding import training_batch
from wardround.data.catalogue import MedMnist
from wardround.errors import DataError, PlanError
from wardround.metrics.scores import Scores
from wardround.tasks import Segment, Segmentation
from wardround.tasks.inputs import to_input, trained_part
from wardround.tasks.models import MonaiNet, SmallCnn
from wardround.tasks.segmentation import dice_loss

MODEL = MonaiNet("UNet", {"channels": [8, 16], "strides": [2]})
TASK = Segmentation(MODEL, 3, ("paper", "square"))


def test_the_dice_loss_is_monais() -> None:
    torch.manual_seed(1)
    probabilities = torch.softmax(torch.randn(3, 4, 6, 5), dim=1)
    targets = torch.randint(0, 4, (3, 6, 5))
    expected = DiceLoss(include_background=False, to_onehot_y=True, smooth_nr=1, smooth_dr=1)
    torch.testing.assert_close(dice_loss(probabilities, targets), expected(probabilities, targets[:, None]))


def test_the_loss_is_the_weighted_sum_and_the_mean_over_images() -> None:
    network = TASK.build(1).eval()
    images = tiny.masked(4)
    inputs, targets = to_input(images.batch(slice(None))), TASK.targets(images, np.arange(4))
    with torch.no_grad():
        logits = network(inputs)
        entropy = nn.functional.cross_entropy(logits, targets)
        overlap = dice_loss(torch.softmax(logits, 1), targets)
        both = replace(TASK, dice=2.0, cross_entropy=0.5).loss(network, inputs, targets)
        torch.testing.assert_close(both, 2 * overlap + 0.5 * entropy)
        each = torch.stack([TASK.loss(network, inputs[i : i + 1], targets[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(TASK.loss(network, inputs, targets), each.mean())


def test_it_learns_squares() -> None:
    images = tiny.masked(16)
    network = TASK.build(1)
    before = TASK.evaluate(network, images).values["dice"].mean()
    optimiser = torch.optim.AdamW(network.parameters(), 0.01)
    for _ in range(40):
        loss = TASK.loss(network.train(), to_input(images.batch(slice(None))), TASK.targets(images, np.arange(16)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = TASK.evaluate(network, images)
    assert found.values["dice"].mean() > max(0.8, before + 0.2)
    np.testing.assert_allclose(found.values["hd95_mm"], 0.5 * found.values["hd95_px"])


def test_outcomes_do_not_depend_on_how_the_images_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    images = tiny.masked(9)
    network = TASK.build(2)
    whole = TASK.evaluate(network, images)
    monkeypatch.setattr("wardround.tasks.segmentation.MASKS_AT_A_TIME", 2)
    parts = TASK.evaluate(network, images)
    assert isinstance(parts, Scores)
    for name, column in whole.values.items():
        np.testing.assert_array_equal(column, parts.values[name])
    assert len(TASK.evaluate(network, images.take([]))) == 0


def test_images_are_counted_by_the_regions_that_they_show() -> None:
    assert TASK.counts(tiny.masked(12)).tolist() == [12, 9]
    assert TASK.counts(tiny.masked(12).take([])).tolist() == [0, 0]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_masks_move_with_their_images(name: str) -> None:
    images = tiny.masked(12)
    pixels = np.repeat(255 * images.mask_batch(slice(None))[..., None], 3, axis=3).astype(np.uint8)
    shown = replace(images, pixels=pixels)
    torch.manual_seed(4)
    inputs, targets = training_batch(TASK, trained_part(TASK.build(1)), shown, np.arange(12), AUGMENTATIONS[name])
    assert targets.dtype == torch.int64
    assert torch.equal(inputs[:, 0] > 0, targets == 1)
    moved = (targets != TASK.targets(shown, np.arange(12))).any()
    assert bool(moved) == (name != "none")


def test_a_source_without_masks_is_refused() -> None:
    with pytest.raises(DataError, match="MedMnist images have no masks"):
        Segment().load(MedMnist(), None)
    with pytest.raises(DataError, match="have no masks"):
        TASK.evaluate(TASK.build(1), tiny.images(4))


def test_a_network_that_answers_otherwise_is_refused() -> None:
    task = Segmentation(SmallCnn(8), 3, ("paper", "square"))
    with pytest.raises(PlanError, match="2 logits for each pixel"):
        task.loss(task.build(1), torch.zeros(2, 3, 16, 16), torch.zeros(2, 16, 16, dtype=torch.int64))


@pytest.mark.parametrize(
    "changes", [{"dice": 0.0, "cross_entropy": 0.0}, {"dice": -1.0}, {"cross_entropy": float("inf")}]
)
def test_weights_that_leave_no_loss_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="weights of the loss"):
        Segment(**changes)
