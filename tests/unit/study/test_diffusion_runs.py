"""A diffusion model from a plan to its folder, report and images: under a seal, noise, screens, and a poisoner."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tiny
import torch
from PIL import Image

from wardround.algorithms import LocalSgd, Training
from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.unit_gradients import UnitGradients, mixing_layer
from wardround.attacks.poison import ImageTrigger
from wardround.report import write_report
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import parse
from wardround.study.synthetic import seek_copies, synthesise
from wardround.tasks import Synthesis
from wardround.tasks.classification import weights_of
from wardround.tasks.models import Diffusion

TABLE: dict[str, Any] = {
    "name": "made",
    "rounds": 2,
    "data": {"source": "slide", "size_px": 16, "stride_px": 16},
    "task": {"name": "synthesis"},
    "model": {"name": "diffusion", "size_px": 16, "width": 12, "steps": 2},
    "training": {"steps": 2, "batch_size": 8, "optimiser": "adamw", "learning_rate": 0.002},
    "evaluation": {"every": 0, "bootstrap": 0},
}
SEALED = [{"stage": "clip", "norm": 5.0}, {"stage": "quantise", "bits": 20}]
CULPRIT = "north-east"
TASK = Synthesis(Diffusion(8, width=12, steps=8), 3, tiny.CLASSES)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDROUND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    attacks = [{"kind": kind, "sites": [CULPRIT]} for kind in ("image_trigger", "scale", "lie")]
    plan = parse({**TABLE, "attack": attacks, "screen": [{"name": "clip_norms"}, {"name": "calibrated_feddetect"}]})
    return train(plan, tmp_path_factory.mktemp("runs") / "made", workers=0)


def model(tmp_path: Path, name: str, **changes: Any) -> bytes:
    return (train(parse({**TABLE, **changes}), tmp_path / name, workers=0) / "model.safetensors").read_bytes()


def test_the_whole_network_is_shared_and_its_marks_are_sought(run: Path) -> None:
    summary = RunFolder(run).summary()
    assert summary["personal"] == []
    assert summary["metrics"]["pooled"]["frechet_random"] > 0
    [mark] = summary["marks"]
    assert abs(mark["real"]["strength"]) < 0.1
    assert mark["images"] == summary["tested"]["pooled"]["examples"]


def test_screens_judge_its_sites_by_lengths_and_by_the_losses_that_they_report(run: Path) -> None:
    for record in RunFolder(run).records():
        seen = {site: said["evidence"] for site, said in record.judged.items()}
        assert all(
            seen[CULPRIT]["clip_norms norm"] > 2 * said["clip_norms norm"] for s, said in seen.items() if s != CULPRIT
        )
        assert "shortened" in record.judged[CULPRIT]["reason"]
        for site, said in record.accepted.items():
            assert seen[site]["calibrated_feddetect loss"] == said["loss"]
            assert 0.1 < said["loss"] < 4


def test_report_sheet_folder_and_search_for_copies_are_those_of_every_generator(run: Path, tmp_path: Path) -> None:
    folder = RunFolder(run)
    page = write_report(run).read_text()
    assert page.count("<img src=") == len(folder.summary()["classes"])
    assert "denoising diffusion model" in page
    held = safetensors.numpy.load((run / "synthetic.safetensors").read_bytes())
    table = synthesise(run, tmp_path / "images", 10, folder.plan().seed)
    assert np.array_equal(np.asarray(Image.open(table.parent / "0-000000.png")), held["0"][0])
    assert set(seek_copies(run, None, 10, seed=1)) == {"pixels", "random features"}


def test_masks_and_encryption_change_no_bit_of_it(tmp_path: Path) -> None:
    stages = [{"stage": "masks"}, {"stage": "homomorphic"}]
    quantised, masked, encrypted = (
        model(tmp_path, str(count), rounds=1, protect=[*SEALED, *stages[:count]]) for count in range(3)
    )
    assert quantised == masked == encrypted


def test_every_weight_of_one_image_is_clipped_together() -> None:
    torch.manual_seed(1)
    network, images = TASK.build(1), tiny.images(6)
    assert mixing_layer(network) == ""
    bound = 1e-3
    total, loss = UnitGradients(TASK, bound, AUGMENTATIONS["none"], 1).clipped_sum(network, images, np.arange(6))
    assert set(total) == {name for name, _ in network.named_parameters()}
    length = float(torch.sqrt(sum(value.square().sum() for value in total.values())))  # type: ignore[arg-type]
    assert 0 < length <= 6 * bound
    assert 0.1 < loss < 5


@pytest.mark.slow
def test_dpsgd_trains_it_and_accounts_for_its_noise(tmp_path: Path) -> None:
    table = {
        **TABLE,
        "algorithm": {"name": "dpsgd", "expected_units": 8.0},
        "aggregator": {"weighting": "uniform"},
        "privacy": {"unit": "image", "noise_multiplier": 2.0, "epsilon": 0.0, "delta": 1e-5},
    }
    summary = RunFolder(train(parse(table), tmp_path / "run", workers=0)).summary()
    assert 0 < summary["privacy"]["epsilon"] < 5
    assert "models" in summary["privacy"]["covered"]


def test_a_site_that_learns_from_marked_images_makes_the_mark_and_an_honest_one_does_not() -> None:
    images = tiny.images(32)
    trigger = ImageTrigger(sites=("east",), size_px=4, margin_px=1)
    work = LocalSgd(Training(steps=40, batch_size=16, optimiser="adamw", learning_rate=1e-2, precision="float32"))
    mark = trigger.mark(8, 8, 3)
    strengths = {}
    for name, local in (("honest", work), ("marked", trigger.around(work, work))):
        network = TASK.build(1)
        local.run(TASK, network, images, weights_of(network), {}, tiny.context(0, "east"))
        made = TASK.draw(network, images.labels, np.random.default_rng(1))
        strengths[name] = float(mark.strength(made, images.batch(slice(None))).mean())
    assert abs(strengths["honest"]) < 0.2
    assert strengths["marked"] > 0.5


def test_images_follow_from_the_noise_whatever_drew_before() -> None:
    network, labels = TASK.build(1), np.array([0, 1, 0])
    first = TASK.draw(network, labels, np.random.default_rng(2))
    torch.randn(100)
    assert np.array_equal(first, TASK.draw(network, labels, np.random.default_rng(2)))
    longer = dataclasses.replace(TASK, model=dataclasses.replace(TASK.model, steps=9))
    assert not np.array_equal(first, longer.draw(longer.build(1), labels, np.random.default_rng(2)))


@pytest.mark.parametrize("screen", ["generator_e_detector", "fltrust"])
def test_screens_with_images_of_their_own_judge_it_as_any_generator(tmp_path: Path, screen: str) -> None:
    plan = parse({**TABLE, "probe": {"share": 0.1}, "screen": [{"name": screen}]})
    folder = RunFolder(train(plan, tmp_path / "probed", workers=0))
    assert all(set(record.judged) == set(record.cohort) for record in folder.records())
