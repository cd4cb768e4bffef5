"""FedGAN: the generator is averaged, discriminators stay, and both learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from wardround.algorithms import FedGan, Training
from wardround.algorithms.fedgan import Adversarial, squared_gradient
from wardround.algorithms.server import ServerSgd
from wardround.core.update import applied
from wardround.errors import PlanError
from wardround.metrics.synthesis import frechet_distance
from wardround.tasks import Classify, Synthesis
from wardround.tasks.classification import load_weights, weights_of
from wardround.tasks.models import DcGan, StyleGan
from wardround.tasks.random_features import random_features

TASK = Synthesis(DcGan(16, width=4, latent=4), 3, tiny.CLASSES)
TRAINING = Training(steps=3, batch_size=8, optimiser="adamw", learning_rate=2e-3, precision="float32")
IMAGES = tiny.masked(24)


def trained(
    work: Adversarial | None = None, memory: dict[str, Any] | None = None, index: int = 0, task: Synthesis = TASK
) -> Any:
    torch.set_num_threads(1)
    network = task.build(1)
    begun = weights_of(network)
    ctx = tiny.context(index, "east")
    result = (work or Adversarial(TRAINING, 0.5)).run(task, network, IMAGES, begun, memory or {}, ctx)
    return begun, network, result


def test_both_networks_learn_and_the_change_is_what_became_of_them() -> None:
    begun, network, result = trained()
    after = weights_of(network)
    for name, value in applied(begun, result.change).items():
        assert np.allclose(value, after[name], atol=1e-6), name
    for part in ("generator", "discriminator"):
        assert any(np.any(value) for name, value in result.change.items() if f"/{part}." in name)
    assert any(name.startswith("stat/generator.") for name in result.change)


def test_it_is_the_same_each_time_and_another_in_another_round() -> None:
    first, again, later = (trained(index=index)[2].change for index in (0, 0, 1))
    assert all(value.tobytes() == again[name].tobytes() for name, value in first.items())
    assert any(value.tobytes() != later[name].tobytes() for name, value in first.items())


def test_it_reports_the_generators_losses() -> None:
    one = dataclasses.replace(TRAINING, steps=1)
    result = trained(Adversarial(one, 0.5))[2]
    assert result.loss == result.last_loss
    several = trained()[2]
    assert several.num_steps == 3
    assert several.last_loss != several.loss
    # The first step of both is the same one.
    rest = np.array([several.loss * 3 - result.loss, several.last_loss])
    assert np.isfinite(rest).all()
    assert several.used is not None
    assert several.used.size == 24


def test_optimisers_live_on_where_the_plan_says_so() -> None:
    kept = Adversarial(dataclasses.replace(TRAINING, keep_optimiser=True), 0.5)
    memory = trained(kept)[2].memory
    assert {name.split("/")[1] for name in memory} == {"generator", "discriminator"}
    fresh, continued = trained(kept, {}, 1)[2], trained(kept, memory, 1)[2]
    assert any(value.tobytes() != fresh.change[name].tobytes() for name, value in continued.change.items())
    assert trained()[2].memory == {}


@pytest.mark.parametrize(("where", "stays"), [("local", True), ("averaged", False)])
def test_what_stays_at_a_site(where: str, stays: bool) -> None:
    network = TASK.build(1)
    own = FedGan(discriminator=where).compose(TRAINING, ServerSgd()).personal(network)
    of_discriminator = {name for name in weights_of(network) if name.split("/")[1].startswith("discriminator.")}
    assert len(of_discriminator) > 10
    assert own == (of_discriminator if stays else set())
    assert FedGan(pooled=True).compose(TRAINING, ServerSgd()).personal(network) == frozenset()


def test_the_penalty_is_the_squared_gradient_at_real_images() -> None:
    torch.manual_seed(1)
    discriminator = DcGan(16, width=4, latent=4).build(1, 2).discriminator.eval()
    images, labels = torch.randn(2, 1, 16, 16), torch.tensor([0, 1])
    steps = 0.02 * torch.eye(256).reshape(256, 1, 16, 16)
    expected = 0.0
    for image, label in zip(images, labels, strict=True):
        with torch.no_grad():
            up, down = (discriminator(image + sign * steps, label.expand(256)) for sign in (1, -1))
        expected += float(((up - down) / 0.04).square().sum()) / 2
    assert squared_gradient(discriminator, images, labels).item() == pytest.approx(expected, rel=0.02)


def test_the_penalty_changes_what_the_discriminator_learns() -> None:
    plain, penalised = trained()[2], trained(Adversarial(TRAINING, 0.5, gradient_penalty=5.0))[2]
    name = next(name for name in plain.change if name.startswith("net/discriminator."))
    assert not np.array_equal(plain.change[name], penalised.change[name])


def test_real_and_synthetic_images_are_changed_alike() -> None:
    changed = trained(Adversarial(dataclasses.replace(TRAINING, augment="shift"), 0.5))[2]
    assert any(value.tobytes() != trained()[2].change[name].tobytes() for name, value in changed.change.items())


@pytest.mark.parametrize("model", [DcGan(16, width=4, latent=4), StyleGan(16, width=4, latent=4)])
def test_it_learns_to_make_such_images(model: DcGan | StyleGan) -> None:
    task = dataclasses.replace(TASK, model=model)
    longer = dataclasses.replace(TRAINING, steps=30, learning_rate=4e-3)
    begun, network, _ = trained(Adversarial(longer, 0.5), task=task)
    real = random_features(IMAGES.batch(slice(None)))
    after = random_features(task.draw(network, IMAGES.labels, np.random.default_rng(0)))
    load_weights(network, begun)
    before = random_features(task.draw(network, IMAGES.labels, np.random.default_rng(0)))
    assert frechet_distance(real, after) < 0.5 * frechet_distance(real, before)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"discriminator": "shared"}, "'shared' is not one of local, averaged"),
        ({"beta1": 1.0}, "beta1 in"),
        ({"gradient_penalty": -1.0}, "gradient_penalty >= 0"),
        ({"penalty_every": 0}, "penalty_every >= 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        FedGan(**settings)


ADAM = {"optimiser": "adamw", "momentum": 0.0}
GAN = {"model": {"name": "dcgan"}, "algorithm": {"name": "fedgan"}, "task": {"name": "synthesis"}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": {"name": "classification"}}, "gives one answer for each sample"),
        ({"algorithm": {"name": "fedavg"}}, "two networks against each other"),
        ({"algorithm": tiny.DPSGD}, "dpsgd bounds what one image does"),
        ({"training": {"optimiser": "sgd"}}, "trains with Adam"),
        ({"training": {**ADAM, "parts": "head"}}, "no head to train alone"),
        ({"screen": [{"name": "e_detector"}], "probe": {"share": 0.1}}, "choose generator_e_detector"),
    ],
)
def test_parts_of_a_plan_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    base = {"name": "made", "training": ADAM, **GAN}
    with pytest.raises(PlanError, match=words):
        tiny.parse({**base, **changes})


@pytest.mark.parametrize(("unit", "words"), [("image", "noise-without-bound"), ("site", "")])
def test_noise_hides_whole_sites_and_no_single_image(unit: str, words: str) -> None:
    table = {
        "name": "made",
        **GAN,
        "training": {**ADAM, "steps": 2},
        "aggregator": {"name": "mean", "weighting": "uniform"},
        "protect": [{"stage": "clip", "norm": 1.0}, {"stage": "noise"}],
        "privacy": {"epsilon": 8.0, "delta": 1e-5, "unit": unit},
    }
    plan = tiny.parse(table)
    if not words:
        plan.check(3)
        return
    with pytest.raises(PlanError, match=words):
        plan.check(3)


def test_a_classifier_cannot_be_trained_so() -> None:
    with pytest.raises(PlanError, match="fedgan makes images, and the task is classification"):
        tiny.parse({"name": "made", "algorithm": {"name": "fedgan"}})
    with pytest.raises(PlanError, match="choose e_detector"):
        tiny.plan(screen=[{"name": "generator_e_detector"}], probe={"share": 0.1})
    assert Classify.answers == "image"


def test_a_generator_of_another_size_is_refused_before_anything_runs(tmp_path: Path) -> None:
    from wardround.study.run import train

    plan = tiny.parse({"name": "made", **GAN, "training": ADAM, "data": {"size_px": 28, "stride_px": 28}})
    with pytest.raises(PlanError, match="makes images of 32 px, and those of \\[data\\] have 28 x 28"):
        train(plan, tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()
