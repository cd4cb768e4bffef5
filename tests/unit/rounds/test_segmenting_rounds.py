"""A run that learns masks is a run like others: every algorithm, every protection, and what leaves a site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from wardround.core.codec import Message
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.metrics.scores import Scores
from wardround.rounds.coordinator import Coordinator, RunResult
from wardround.rounds.plan import Plan
from wardround.study.folder import RunFolder
from wardround.study.spec import parse


def run(plan: Plan, folder: Path, public: bool = True) -> RunResult:
    fabric = tiny.fabric(plan, folder / "sites", public=public)
    return Coordinator(plan, fabric, RunFolder.create(folder / "run", plan, resume=False)).run()


def weights_of(plan: Plan, folder: Path) -> Tensors:
    result = run(plan, folder)
    if result.weights:
        return result.weights
    import safetensors.numpy

    return safetensors.numpy.load((folder / "sites" / "east" / "model.safetensors").read_bytes())


@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "fedavg"},
        {"name": "fedprox", "mu": 0.1},
        {"name": "fedbn"},
        {"name": "scaffold"},
        {"name": "local"},
    ],
    ids=lambda table: str(table["name"]),
)
def test_every_algorithm_learns_masks(algorithm: dict[str, Any], tmp_path: Path) -> None:
    plan = tiny.segmenting(algorithm=algorithm, evaluation={"every": 2, "bootstrap": 20})
    result = run(plan, tmp_path)
    assert result.task.classes == ("paper", "square")
    assert set(result.test.pooled.metrics) == {"dice", "iou", "hd95_px", "hd95_mm"}
    assert {**result.records[-1].validation}.keys() == {"east", "north", "west", "pooled"}
    assert result.test.pooled.num_examples == 24
    pooled = result.test.pooled.metrics["dice"]
    assert pooled.low is not None
    assert pooled.high is not None
    assert 0 <= pooled.low <= pooled.high <= 1
    if algorithm["name"] != "local":
        moved = [name for name, value in result.weights.items() if np.any(value)]
        assert moved


def test_scores_of_single_images_leave_only_where_these_are_published(tmp_path: Path) -> None:
    plan = tiny.segmenting(evaluation={"bootstrap": 20})
    open_run, closed = run(plan, tmp_path / "open"), run(plan, tmp_path / "closed", public=False)
    for test in open_run.test.sites.values():
        assert isinstance(test.outcome, Scores)
    for site, test in closed.test.sites.items():
        assert test.outcome is None
        assert test.totals["defined"].tolist() == [8, 8, 8, 8]
        assert test.description.metrics == open_run.test.sites[site].description.metrics
    for name, value in closed.test.pooled.metrics.items():  # weighed means of the sites are the mean over all images
        assert value.value == pytest.approx(open_run.test.pooled.metrics[name].value)
        assert value.low is None


def test_a_closed_site_sends_numbers_alone(tmp_path: Path) -> None:
    plan = tiny.segmenting()
    site = tiny.fabric(plan, tmp_path, encoded=False, public=False)
    weights = tiny.make_bench(plan).initial
    [answer] = site.gather(("east",), "evaluate", Message({"part": "test", "accepted": {}}, weights), None)
    assert answer.message is not None
    assert {name: value.size for name, value in answer.message.tensors.items()} == {"defined": 4}


def test_a_sealed_run_is_the_quantised_one(tmp_path: Path) -> None:
    quantised = [tiny.CLIP, tiny.QUANTISE]
    sealed = [*quantised, tiny.MASKS, tiny.PACKED]
    plain = weights_of(tiny.segmenting(protect=quantised), tmp_path / "plain")
    secret = weights_of(tiny.segmenting(protect=sealed), tmp_path / "sealed")
    named = {name.split("/", 1)[-1]: value for name, value in plain.items()}
    assert named.keys() == secret.keys()
    for name, value in secret.items():
        assert value.tobytes() == named[name].tobytes()
    unlike = weights_of(tiny.segmenting(), tmp_path / "clear")  # the control: without the grid, other bytes
    assert any(unlike[name].tobytes() != value.tobytes() for name, value in plain.items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"name": "small_cnn"}}, "SmallCnn gives one answer for each image, and segmentation needs one"),
        ({"training": {"parts": "head"}}, "segmentation has no head"),
        ({"algorithm": {"name": "fedavg", "personal": "norms+head"}}, "segmentation has no head"),
        ({"task": {"name": "segmentation", "dise": 1.0}}, "did you mean 'dice'"),
        ({"task": {"name": "segment"}}, "did you mean 'segmentation'"),
    ],
)
def test_what_masks_cannot_be_learned_with_is_refused(changes: dict[str, Any], words: str) -> None:
    table = {"name": "tiny", **tiny.SEGMENT, **changes}
    with pytest.raises(PlanError, match=words):
        parse(table)


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_sites_restore_together(algorithm: str, tmp_path: Path) -> None:
    changes = {"algorithm": {"name": algorithm}, "evaluation": {"every": 1, "bootstrap": 20}}
    opened = run(tiny.segmenting(**{**tiny.RESTORE, **changes}), tmp_path / "open")
    assert opened.task.classes == ()
    assert set(opened.test.pooled.metrics) == {"psnr_db", "ssim", "rmse", "gain_db"}
    closed = run(tiny.segmenting(**{**tiny.RESTORE, **changes}), tmp_path / "closed", public=False)
    for name, value in closed.test.pooled.metrics.items():
        assert value.value == pytest.approx(opened.test.pooled.metrics[name].value)


def test_an_augmentation_that_changes_what_is_learned_is_refused() -> None:
    with pytest.raises(PlanError, match=r"changes the grey levels that restoration learns"):
        tiny.segmenting(**tiny.RESTORE, training={"augment": "dihedral+colour"})
    assert tiny.segmenting(training={"augment": "dihedral+colour"}).learns.name == "segmentation"


def test_an_input_is_not_added_twice() -> None:
    with pytest.raises(PlanError, match="red_cnn adds its input by itself"):
        parse({"name": "tiny", "task": tiny.RESTORE["task"], "model": {"name": "red_cnn"}})
