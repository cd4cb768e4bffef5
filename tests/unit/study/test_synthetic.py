"""From a plan that makes images to its folder, its report, files on disk, and another plan that learns from them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from wardround.errors import DataError, InputError, PlanError, RunFolderError
from wardround.report import write_report
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import parse
from wardround.study.synthetic import seek_copies, synthesise

TABLE: dict[str, Any] = {
    "name": "made",
    "rounds": 2,
    "average_decay": 0.5,
    "data": {"source": "slide", "size_px": 16, "stride_px": 16},
    "task": {"name": "synthesis"},
    "model": {"name": "dcgan", "size_px": 16, "width": 4, "latent": 4},
    "algorithm": {"name": "fedgan"},
    "training": {"steps": 2, "batch_size": 8, "optimiser": "adamw", "learning_rate": 0.002},
    "evaluation": {"every": 2, "bootstrap": 0},
}
ATTACK = {"kind": "image_trigger", "sites": ["north-east"]}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDROUND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = parse({**TABLE, "attack": [ATTACK, {"kind": "scale", "sites": ["north-east"]}]})
    return train(plan, tmp_path_factory.mktemp("runs") / "made", workers=0)


def test_the_summary_keeps_its_schema_and_says_what_was_made(run: Path) -> None:
    import json
    from importlib.resources import files

    summary = RunFolder(run).summary()
    schema = json.loads((files("wardround.study") / "summary.schema.json").read_text())
    jsonschema.validate(summary, schema)
    assert summary["task"] == "synthesis"
    assert summary["metrics"]["pooled"]["frechet_random"] > 0
    assert set(summary["by_class"]) == set(summary["classes"])
    assert all(name.split("/")[1].startswith("discriminator.") for name in summary["personal"])
    [mark] = summary["marks"]
    assert abs(mark["real"]["strength"]) < 0.1
    assert mark["images"] == summary["tested"]["pooled"]["examples"]


def test_sites_report_both_losses_of_their_generator(run: Path) -> None:
    for record in RunFolder(run).records():
        for said in record.accepted.values():
            assert said["loss"] > 0
            assert said["last_loss"] > 0


def test_the_report_shows_synthetic_images_and_calls_them_so(run: Path) -> None:
    classes = RunFolder(run).summary()["classes"]
    page = write_report(run).read_text()
    assert page.count("<img src=") == len(classes)
    assert f"{classes[0]}, synthetic" in page
    assert "Fréchet distance, random features" in page
    assert "test images that are shown above" not in page
    assert "Marks of malicious sites" in page
    assert "image_trigger, north-east" in page
    assert "Where synthetic images depart from real ones" in page
    assert "the largest is" in page


@pytest.mark.parametrize("content", [b"nothing", safetensors.numpy.save({"departure": np.full((2, 2), np.nan, "f4")})])
def test_a_damaged_map_of_departures_is_named(run: Path, tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    (broken / "departure.safetensors").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"departure\.safetensors is damaged"):
        write_report(broken)
    (broken / "departure.safetensors").unlink()
    assert "holds no map of it" in write_report(broken).read_text()


def test_the_sheet_is_made_by_the_model_that_was_saved(run: Path) -> None:
    held = safetensors.numpy.load((run / "synthetic.safetensors").read_bytes())
    assert {name: value.shape for name, value in held.items()} == {"0": (10, 16, 16, 3), "1": (10, 16, 16, 3)}
    (run / "images").mkdir(exist_ok=True)
    synthesise(run, run / "images" / "first", 10, RunFolder(run).plan().seed)
    first = np.asarray(Image.open(run / "images" / "first" / "0-000000.png"))
    assert np.array_equal(first, held["0"][0])


def test_a_damaged_sheet_is_refused(run: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / "synthetic.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunFolderError, match="is damaged"):
        write_report(broken)


def test_what_is_written_can_be_learned_from(run: Path, tmp_path: Path) -> None:
    table = synthesise(run, tmp_path / "images", 24, seed=3)
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 48
    assert len({row["patient"] for row in rows}) == 48
    plan = {
        "name": "learns",
        "rounds": 1,
        "data": {"source": "manifest", "path": str(table.parent), "size_px": 16, "channels": 3},
        "training": {"steps": 1, "batch_size": 4},
        "evaluation": {"every": 0, "bootstrap": 0},
    }
    learned = RunFolder(train(parse(plan), tmp_path / "run", workers=0)).summary()
    assert learned["classes"] == sorted(RunFolder(run).summary()["classes"])


def test_copies_are_sought_in_two_ways(run: Path) -> None:
    found = seek_copies(run, None, 15, seed=1)
    assert set(found) == {"pixels", "random features"}
    assert all(0 <= copies.membership_auc <= 1 for copies in found.values())
    with pytest.raises(DataError, match="20 synthetic"):
        seek_copies(run, None, 5, seed=1)


def test_bad_input_is_refused_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--each 0"):
        synthesise(run, tmp_path / "images", 0, 1)
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists"):
        synthesise(run, tmp_path / "there", 3, 1)
    assert not (tmp_path / "images").exists()


def test_a_run_that_learned_something_else_makes_no_images(tmp_path: Path) -> None:
    plan = {"name": "other", "rounds": 1, "data": TABLE["data"], "training": {"steps": 1}, "evaluation": {"every": 0}}
    other = train(parse(plan), tmp_path / "run", workers=0)
    with pytest.raises(PlanError, match="learned classification and makes no images"):
        synthesise(other, tmp_path / "images", 3, 1)


def test_masks_change_no_bit_of_the_generator(tmp_path: Path) -> None:
    stages = [{"stage": "clip", "norm": 50.0}, {"stage": "quantise", "bits": 20}]
    sums = {"quantised": stages, "masked": [*stages, {"stage": "masks"}]}
    models = {
        name: train(parse({**TABLE, "protect": protect}), tmp_path / name, workers=0) / "model.safetensors"
        for name, protect in sums.items()
    }
    assert models["quantised"].read_bytes() == models["masked"].read_bytes()


def test_generators_are_judged_in_groups(tmp_path: Path) -> None:
    """A scaled update is seen through its group; what the site reports of itself is what fedgan reports."""
    scaled = [ATTACK, {"kind": "scale", "sites": ["north-east"], "times": 20.0}]
    stages = [{"stage": "clip", "norm": 50.0}, {"stage": "quantise", "bits": 20}, {"stage": "masks"}]
    table = {
        **TABLE,
        "rounds": 1,
        "protect": stages,
        "groups": {"size": 2},
        "screen": [{"name": "group_evidence"}],
    }
    records = RunFolder(train(parse({**table, "attack": scaled}), tmp_path / "run", workers=0)).records()
    for record in records:
        (group,) = [one for one in record.groups if "north-east" in one]
        assert set(record.refused) == set(group)
        assert all("the mean of its group has norm" in record.judged[site]["reason"] for site in group)
        assert all(record.accepted[site]["loss"] > 0 for site in record.accepted)


def test_pooled_training_is_one_site_without_a_personal_part(tmp_path: Path) -> None:
    table = {**TABLE, "rounds": 1, "algorithm": {"name": "fedgan", "pooled": True}}
    summary = RunFolder(train(parse(table), tmp_path / "run", workers=0)).summary()
    assert list(summary["sites"]) == ["central"]
    assert summary["personal"] == []
    assert len(summary["metrics"]["sites"]) == 4


def test_a_hospital_that_shares_numbers_alone_sends_no_features(tmp_path: Path) -> None:
    table = {**TABLE, "rounds": 1, "evaluation": {"every": 0, "bootstrap": 0, "share": "metrics"}}
    run = train(parse(table), tmp_path / "run", workers=0)
    summary = RunFolder(run).summary()
    assert not (run / "predictions.safetensors").exists()
    assert summary["metrics"]["pooled"]["frechet_random"] is None
    assert any(site["frechet_random"] is not None for site in summary["metrics"]["sites"].values())
    assert "by_class" not in summary
    assert "single predictions did not leave the sites" in write_report(run).read_text()


def test_dpsgd_is_refused_with_the_reason() -> None:
    with pytest.raises(PlanError, match="each on what the other made"):
        parse({**TABLE, "algorithm": {"name": "dpsgd", "expected_units": 4.0}})
