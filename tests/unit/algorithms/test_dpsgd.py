"""DP-SGD: what one unit can move, against Opacus and against sums formed one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from opacus import GradSampleModule
from torch import nn

from wardround.algorithms import CalibratedDpSgd, DpSgd, Training
from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.base import LocalResult
from wardround.algorithms.server import ServerSgd
from wardround.algorithms.unit_gradients import UnitGradients, mixing_layer
from wardround.core.context import RoundContext
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.privacy import Gaussian
from wardround.privacy.words import Words
from wardround.tasks.classification import Classification, weights_of
from wardround.tasks.inputs import to_input
from wardround.tasks.models import MonaiNet, ResNet18, SmallCnn

IMAGES = tiny.images(12)
CTX = RoundContext(5, 1, 4, ("east",), 1, "east")
TASKS = {
    "small_cnn": Classification(SmallCnn(8, 0.0), 3, tiny.CLASSES),
    "resnet18": Classification(ResNet18(width=4), 3, tiny.CLASSES),
}
HUGE = 1e6


def flat(tensors: dict[str, torch.Tensor]) -> np.ndarray:
    return np.concatenate([value.detach().numpy().ravel() for value in tensors.values()])


def summed(task: Classification, images: LabelledImages, units: np.ndarray, bound: float, views: int = 1) -> np.ndarray:
    network = task.build(0).train()
    return flat(UnitGradients(task, bound, AUGMENTATIONS["none"], views).clipped_sum(network, images, units)[0])


def opacus_gradients(task: Classification, images: LabelledImages) -> np.ndarray:
    """Return ``(N, P)``, by the library's hooks."""
    module = GradSampleModule(task.build(0).to(memory_format=torch.contiguous_format).train())
    logits = module(to_input(images.batch(slice(None))).contiguous())
    nn.functional.cross_entropy(logits, torch.from_numpy(images.labels)).backward()
    return np.concatenate([p.grad_sample.flatten(1).numpy() for p in module.parameters()], axis=1).astype(np.float64)


# Opacus's hooks warn where the first layer's input needs no gradient.
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_gradients_of_single_images_are_those_of_opacus(task: Classification) -> None:
    # Four times as large: where the last stage has one pixel left, a group norm over two values doubles rounding.
    images = replace(IMAGES, pixels=IMAGES.pixels.repeat(4, 1).repeat(4, 2))
    theirs = opacus_gradients(task, images)
    alone = np.stack([summed(task, images.take([i]), np.zeros(1, np.int64), HUGE) for i in range(len(images))])
    assert np.allclose(alone, theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("bound", [HUGE, 0.3])
def test_images_of_one_unit_are_averaged_and_clipped_as_one(bound: float) -> None:
    task = TASKS["small_cnn"]
    units = np.array([0, 1, 0, 2, 2, 2, 3, 1, 4, 5, 5, 0])
    each = opacus_gradients(task, IMAGES)
    expected = np.zeros(each.shape[1])
    for unit in range(6):
        mean = each[units == unit].mean(0)
        expected += mean * min(1.0, bound * (1 - 2.0**-12) / np.linalg.norm(mean))
    assert np.allclose(summed(task, IMAGES, units, bound), expected, atol=1e-5)


def test_chunks_change_nothing_and_keep_units_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TASKS["small_cnn"]
    units = np.array([0, 1, 0, 2, 2, 2, 3, 1, 4, 5, 5, 0])
    at_once = summed(task, IMAGES, units, 0.3)
    for values, views in ((1, 256), (30_000, 256), (60_000, 256), (2**23, 5)):
        monkeypatch.setattr("wardround.algorithms.unit_gradients._CHUNK_VALUES", values)
        monkeypatch.setattr("wardround.algorithms.unit_gradients._CHUNK_VIEWS", views)
        chunks = list(UnitGradients(task, 1.0, AUGMENTATIONS["none"])._chunks(units, 7000))
        assert sorted(np.concatenate(chunks).tolist()) == list(range(12))
        assert sum(len(np.unique(units[rows])) for rows in chunks) == 6
        assert np.allclose(summed(task, IMAGES, units, 0.3), at_once, atol=1e-6)


@pytest.mark.parametrize("unit", ["image", "patient"])
def test_one_unit_moves_the_sum_by_no_more_than_the_bound(unit: str) -> None:
    task, bound = TASKS["small_cnn"], 0.05
    method = CalibratedDpSgd(DpSgd(clip=bound), unit, 1.0, seeded=True)
    units = method.units_of(IMAGES)
    assert len(np.unique(units)) == (12 if unit == "image" else 6)
    whole = summed(task, IMAGES, units, bound).astype(np.float32)
    for gone in np.unique(units)[:4]:
        rows = np.flatnonzero(units != gone)
        rest = summed(task, IMAGES.take(rows), units[rows], bound).astype(np.float32)
        assert 0.99 * bound < np.linalg.norm(whole.astype(float) - rest.astype(float)) <= bound


def test_clipping_images_of_a_patient_one_by_one_would_bound_nothing() -> None:
    """The positive control of the test above: with images as units, a patient moves the sum by more than the bound."""
    task, bound = TASKS["small_cnn"], 0.05
    patients = CalibratedDpSgd(DpSgd(clip=bound), "patient", 1.0, seeded=True).units_of(IMAGES)
    rows = np.flatnonzero(patients != 0)
    whole = summed(task, IMAGES, np.arange(12), bound)
    rest = summed(task, IMAGES.take(rows), np.arange(12)[rows], bound)
    assert np.linalg.norm(whole - rest) > 1.1 * bound


def test_views_share_their_images_bound() -> None:
    task, bound = TASKS["small_cnn"], 0.05
    assert np.allclose(summed(task, IMAGES, np.arange(12), bound, views=3), summed(task, IMAGES, np.arange(12), bound))


def test_units_are_drawn_one_by_one_with_the_rate_of_the_plan() -> None:
    images = tiny.images(400)
    method = CalibratedDpSgd(DpSgd(sampling_rate=0.3), "patient", 1.0, seeded=True)
    units = method.units_of(images)
    counts = []
    for seed in range(200):
        rows = method.drawn(units, Words(seed))
        drawn = np.unique(units[rows])
        assert len(rows) == 2 * len(drawn)  # both images of a patient, or none
        counts.append(len(drawn))
    assert np.mean(counts) == pytest.approx(0.3 * 200, abs=4 * np.sqrt(0.3 * 0.7 * 200 / 200))
    assert np.var(counts) == pytest.approx(0.3 * 0.7 * 200, rel=0.5)  # a fixed batch size would have no variance


def run(spec: DpSgd, multiplier: float, training: Training, images: LabelledImages = IMAGES) -> LocalResult:
    method = CalibratedDpSgd(spec, "image", multiplier, seeded=True)
    task = TASKS["small_cnn"]
    algorithm = method.compose(training, ServerSgd())
    return algorithm.local.run(task, task.build(0), images, {}, {}, CTX)


def test_each_step_is_one_event_and_is_divided_by_the_public_number() -> None:
    training = Training(steps=3, learning_rate=1e-3)
    few, many = (run(DpSgd(0.5, units, 1.0), 1e-6, training) for units in (6.0, 60.0))
    assert few.events == many.events == (Gaussian(1e-6, 0.5),) * 3
    assert few.used is None  # who was drawn stays secret, also from the ledger
    moved = [np.linalg.norm(np.concatenate([v.ravel() for v in result.change.values()])) for result in (few, many)]
    assert moved[0] == pytest.approx(10 * moved[1], rel=0.1)


def test_noise_has_the_size_that_the_event_says() -> None:
    training = Training(steps=1, learning_rate=1.0)
    loud, quiet = (run(DpSgd(0.5, 6.0, 0.5), multiplier, training) for multiplier in (3.0, 1e-9))
    noise = np.concatenate([(loud.change[name] - quiet.change[name]).ravel() for name in loud.change])
    assert noise.std() == pytest.approx(3.0 * 0.5 / 6.0, rel=0.03)


def test_a_step_that_draws_nobody_is_noise_alone() -> None:
    result = run(DpSgd(1e-9, 6.0), 1.0, Training(steps=1, learning_rate=1.0))
    assert result.events == (Gaussian(1.0, 1e-9),)
    assert result.loss == 0.0
    change = np.concatenate([value.ravel() for value in result.change.values()])
    assert change.std() == pytest.approx(1 / 6.0, rel=0.03)


def test_the_sum_leaves_the_site_without_noise_or_division_and_the_server_paces_it() -> None:
    spec = DpSgd(1.0, 24.0, 0.5, noise="sum")
    method = CalibratedDpSgd(spec, "image", 0.0, seeded=True)
    task = TASKS["small_cnn"]
    algorithm = method.compose(Training(learning_rate=0.2), ServerSgd())
    result = algorithm.local.run(task, task.build(0), IMAGES, {}, {}, CTX)
    assert result.events == ()
    expected = -summed(task, IMAGES, np.arange(12), 0.5)
    change = np.concatenate([result.change[f"net/{name}"].ravel() for name, _ in task.build(0).named_parameters()])
    assert np.allclose(change, expected, atol=1e-6)
    start = weights_of(task.build(0))
    ctx = replace(CTX, cohort=("east", "west", "north"))
    mean = {name: np.asarray(value / 3, np.float32) for name, value in result.change.items()}
    after = algorithm.server.apply(algorithm.server.start(start), mean, ctx)
    name = "net/" + next(name for name, _ in task.build(0).named_parameters())
    assert np.allclose(after[name] - start[name], 0.2 * result.change[name] / 24.0, atol=1e-6)


@pytest.mark.parametrize("seeded", [True, False])
def test_augmentation_is_as_secret_as_the_noise(seeded: bool) -> None:
    """With the plan's seed, one image less would change every other's augmentation, and anybody could compute it."""
    method = CalibratedDpSgd(DpSgd(1.0, 12.0, noise="sum"), "image", 0.0, seeded)
    local = method.compose(Training(augment="dihedral+colour"), ServerSgd()).local
    task = TASKS["small_cnn"]
    first, second = (local.run(task, task.build(0), IMAGES, {}, {}, CTX).change for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first) == seeded


def test_what_is_frozen_gets_neither_gradient_nor_noise() -> None:
    task = TASKS["small_cnn"]
    network = task.build(0)
    names = [name for name, _ in network.named_parameters()]
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name == names[-1])
    method = CalibratedDpSgd(DpSgd(0.5, 6.0), "image", 1.0, seeded=True)
    local = method.compose(Training(steps=2), ServerSgd()).local
    change = local.run(task, network, IMAGES, {}, {}, CTX).change
    assert {name for name, value in change.items() if np.any(value)} == {f"net/{names[-1]}"}


class Mixed(nn.Module):
    """A network whose output for one image depends on the others."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.last = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(self.norm(images).mean((2, 3)))
        return found


@pytest.mark.parametrize("noise", ["site", "sum"])
def test_batch_statistics_are_refused_also_at_the_last_moment(noise: str) -> None:
    method = CalibratedDpSgd(DpSgd(noise=noise), "image", 1.0, seeded=True)
    local = method.compose(Training(steps=1), ServerSgd()).local
    with pytest.raises(PlanError, match="BatchNorm2d"):
        local.run(TASKS["small_cnn"], Mixed(), IMAGES, {}, {}, CTX)


def test_group_norms_do_not_mix_images_and_batch_norms_do() -> None:
    assert mixing_layer(ResNet18(width=4).build(3, 2)) == ""
    assert mixing_layer(nn.InstanceNorm2d(3)) == ""
    assert mixing_layer(nn.InstanceNorm2d(3, track_running_stats=True)) == "InstanceNorm2d"
    assert mixing_layer(Mixed()) == "BatchNorm2d"


@pytest.mark.slow
def test_monai_networks_with_batch_norm_are_told() -> None:
    assert mixing_layer(MonaiNet("DenseNet121").build(3, 2)) == "BatchNorm2d"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sampling_rate": 0.0}, "sampling_rate"),
        ({"sampling_rate": 1.1}, "sampling_rate"),
        ({"expected_units": 0.0}, "expected_units"),
        ({"clip": float("inf")}, "clip"),
        ({"noise": "none"}, "noise"),
        ({"views": 0}, "views"),
    ],
)
def test_a_choice_out_of_range_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        DpSgd(**changes)


@pytest.mark.parametrize(
    "training",
    [
        Training(momentum=0.9),
        Training(weight_decay=0.1),
        Training(optimiser="adamw"),
        Training(keep_optimiser=True),
        Training(precision="bf16"),
    ],
)
def test_training_that_would_have_no_effect_is_refused(training: Training) -> None:
    with pytest.raises(PlanError, match="no effect"):
        CalibratedDpSgd(DpSgd(noise="sum"), "image", 0.0, seeded=True).compose(training, ServerSgd())


def test_without_a_claim_it_does_not_train() -> None:
    with pytest.raises(PlanError, match="privacy"):
        DpSgd().compose(Training(), ServerSgd())
