"""DP-SGD where targets lie on the image's grid: one image moves the sum by no more than its clipped gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.unit_gradients import ROOM, UnitGradients
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.rounds.coordinator import Coordinator
from wardround.study.folder import RunFolder
from wardround.study.spec import parse
from wardround.tasks import Restoration, Segmentation, Task
from wardround.tasks.inputs import to_input
from wardround.tasks.models import UNet

CASES: dict[str, tuple[Task, LabelledImages]] = {
    "segmentation": (Segmentation(UNet((4, 8)), 3, ("paper", "square")), tiny.masked(5)),
    "restoration": (Restoration(UNet((4, 8)), 1, residual=True), tiny.degraded(5)),
}
CLAIM = {"unit": "image", "delta": 1e-3, "noise_multiplier": 2.0, "randomness": "seed"}


@pytest.mark.parametrize(("task", "images"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("bound", [0.05, 1e6])
def test_the_sum_is_that_of_a_slow_loop(task: Task, images: LabelledImages, bound: float) -> None:
    network = task.build(3)
    found, loss = UnitGradients(task, bound, AUGMENTATIONS["none"]).clipped_sum(network, images, np.arange(5))
    total, losses = 0.0, []
    for row in range(5):
        network.zero_grad()
        inputs, target = to_input(images.fed([row])), task.targets(images, np.array([row]))
        one = task.loss(network, inputs, target)
        one.backward()
        flat = torch.cat([value.grad.flatten() for value in network.parameters() if value.grad is not None]).double()
        total = total + flat * min(1.0, bound * ROOM / float(flat.norm()))
        losses.append(one.item())
    summed = torch.cat([value.flatten() for value in found.values()])
    torch.testing.assert_close(summed, total, rtol=1e-4, atol=1e-6)
    assert loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert (float(summed.norm()) <= 5 * bound) or bound > 1


def test_views_move_masks_with_their_images() -> None:
    """A network that reads masks off images has no loss on views whose masks moved, and one where they did not."""
    task, images = CASES["segmentation"]
    shown = replace(
        images, pixels=np.repeat(255 * images.mask_batch(slice(None))[..., None], 3, axis=3).astype(np.uint8)
    )
    network = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([-3.0, 3.0])[:, None, None, None].expand_as(network.weight))
        network.bias.zero_()
    _, loss = UnitGradients(task, 1.0, AUGMENTATIONS["dihedral"], 8).clipped_sum(network, shown, np.arange(5))
    assert loss < 0.01
    turned = to_input(shown.fed(slice(None))).flip(3)
    assert task.loss(network, turned, task.targets(shown, np.arange(5))).item() > 1


def test_masks_are_learned_privately(tmp_path: Path) -> None:
    plan = parse({"name": "private", **TABLE})
    plan.check()
    result = Coordinator(
        plan, tiny.fabric(plan, tmp_path / "sites"), RunFolder.create(tmp_path / "run", plan, resume=False)
    ).run()
    assert result.records[-1].privacy is not None
    assert result.records[-1].privacy["epsilon"] > 0


def test_a_network_that_mixes_images_is_refused_and_one_that_restores_is_not() -> None:
    mixing = parse({"name": "mixing", **TABLE, "model": {**tiny.SEGMENT["model"], "arguments": BATCHED}})
    with pytest.raises(PlanError, match="statistics"):
        mixing.check()
    parse({"name": "red-cnn", **TABLE, "task": {"name": "restoration"}, "model": {"name": "red_cnn"}}).check()


BATCHED = {"channels": [4, 8], "strides": [2], "norm": "BATCH"}
TABLE: dict[str, Any] = {
    **tiny.SEGMENT,
    "rounds": 1,
    "model": {"name": "unet", "widths": [4, 8]},
    "algorithm": {"name": "dpsgd", "sampling_rate": 0.5, "expected_units": 6.0},
    "training": {"steps": 2},
    "aggregator": tiny.UNIFORM,
    "privacy": CLAIM,
    "evaluation": {"every": 0, "bootstrap": 0},
}
