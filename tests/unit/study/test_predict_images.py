"""`predict` writes the masks and images that the run's own network gives, and the run's page shows some."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from jsonschema import Draft202012Validator
from PIL import Image

from wardround.data.degraded import to_grey
from wardround.errors import DataError, InputError, PlanError, RunFolderError
from wardround.report import write_report
from wardround.study.explain import explain
from wardround.study.folder import RunFolder
from wardround.study.predict import loaded, pixels_of, predict
from wardround.study.predict_images import predict_images
from wardround.study.prepare import prepare
from wardround.study.run import PICTURES, train
from wardround.study.spec import parse, to_toml
from wardround.tasks.inputs import to_input

SHORT: dict[str, Any] = {
    "rounds": 1,
    "data": {"source": "slide", "stride_px": 16},
    "training": {"steps": 2, "batch_size": 8},
    "evaluation": {"every": 0, "bootstrap": 20},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run that segments and one that restores, of the embedded slide."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDROUND_CACHE", str(folder / "cache"))
        tables = {"segmentation": tiny.SEGMENT, "restoration": tiny.RESTORE}
        return {
            name: train(parse({"name": name, **SHORT, **table}), folder / name, workers=0)
            for name, table in tables.items()
        }


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "tissue.png")
    return tmp_path / "tissue.png"


def said(run: Path, file: Path) -> np.ndarray:
    folder = RunFolder(run)
    plan = folder.plan()
    task, network = loaded(folder, plan, None)
    return task.answer(network, to_input(pixels_of(file, plan, task.channels)[None]))[0]


def test_a_mask_has_the_picture_s_size_and_its_regions_as_indices(
    runs: dict[str, Path], picture: Path, tmp_path: Path
) -> None:
    [found] = predict_images(runs["segmentation"], [picture], tmp_path / "masks")
    assert found.answer == tmp_path / "masks" / "tissue-mask.png"
    mask = Image.open(found.answer)
    assert (mask.mode, mask.size) == ("P", (30, 40))
    own = said(runs["segmentation"], picture)
    np.testing.assert_array_equal(np.asarray(mask.resize((16, 16), Image.Resampling.NEAREST)).shape, own.shape)
    np.testing.assert_array_equal(np.asarray(Image.fromarray(own).resize((30, 40), Image.Resampling.NEAREST)), mask)
    assert found.shares == {"elsewhere": float(np.mean(own == 0)), "nuclei": float(np.mean(own == 1))}


def test_a_restored_image_is_grey_and_of_the_network_s_size(
    runs: dict[str, Path], picture: Path, tmp_path: Path
) -> None:
    [found] = predict_images(runs["restoration"], [picture], tmp_path / "out")
    restored = Image.open(found.answer)
    assert (restored.mode, restored.size, found.answer.name) == ("L", (16, 16), "tissue-restored.png")
    expected = np.rint(said(runs["restoration"], picture)[..., 0] * 255)
    np.testing.assert_array_equal(np.asarray(restored), expected)
    assert found.shares == {}


def test_colours_are_read_as_training_read_them(runs: dict[str, Path], picture: Path) -> None:
    colour = RunFolder(runs["segmentation"]).plan()
    grey = RunFolder(runs["restoration"]).plan()
    np.testing.assert_array_equal(pixels_of(picture, grey, 1), to_grey(pixels_of(picture, colour, 3)))


def test_nothing_is_written_that_was_there_or_if_one_file_fails(
    runs: dict[str, Path], picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = runs["segmentation"]
    with pytest.raises(DataError, match=r"absent\.png cannot be read"):
        predict_images(run, [picture, tmp_path / "absent.png"], out)
    assert not out.exists()
    predict_images(run, [picture], out)
    with pytest.raises(InputError, match="exists: choose another --out"):
        predict_images(run, [picture], out)
    (tmp_path / "again").mkdir()
    same = tmp_path / "again" / "tissue.png"
    same.write_bytes(picture.read_bytes())
    with pytest.raises(InputError, match="two of the files"):
        predict_images(run, [picture, same], tmp_path / "other")
    with pytest.raises(InputError, match="cannot be written"):
        predict_images(run, [picture], picture / "below a file")


def test_the_wrong_question_is_refused(runs: dict[str, Path], picture: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="answers of a segmentation are images: say with --out"):
        predict(runs["segmentation"], [picture])
    with pytest.raises(RunFolderError, match="no run folder"):
        predict_images(tmp_path, [picture], tmp_path / "out")
    run = train(parse({"name": "classes", **SHORT}), tmp_path / "classes", workers=0)
    with pytest.raises(PlanError, match="answers of a classification are no images: leave --out away"):
        predict_images(run, [picture], tmp_path / "out")
    assert not (run / PICTURES).exists()


@pytest.mark.parametrize("name", ["segmentation", "restoration"])
def test_the_summary_keeps_its_schema_and_the_page_shows_images(runs: dict[str, Path], name: str) -> None:
    import json
    from importlib.resources import files

    schema = json.loads((files("wardround.study") / "summary.schema.json").read_text(encoding="utf-8"))
    summary = RunFolder(runs[name]).summary()
    Draft202012Validator(schema).validate(summary)
    assert summary["task"] == name
    page = write_report(runs[name]).read_text()
    assert page.count("data:image/png;base64,") == 12  # three of each of four sites
    assert "img-src data:" in page
    assert "no image is shown" not in page
    assert {"segmentation": "true border is green", "restoration": "what was seen"}[name] in page
    assert write_report(runs[name]).read_text() == page
    (runs[name] / PICTURES).rename(runs[name] / "away")
    without = write_report(runs[name]).read_text()
    (runs[name] / "away").rename(runs[name] / PICTURES)
    assert "data:" not in re.sub(r"\[data[^\n]*", "", without)
    assert "no image is shown" in without


def test_damaged_pictures_are_one_sentence(runs: dict[str, Path]) -> None:
    path = runs["segmentation"] / PICTURES
    content = path.read_bytes()
    for damaged in (content[:-7], b"", content.replace(b'0/image"', b'0/imago"', 1)):
        path.write_bytes(damaged)
        with pytest.raises(RunFolderError, match=r"pictures\.safetensors is damaged"):
            write_report(runs["segmentation"])
    path.write_bytes(content)
    write_report(runs["segmentation"])


def test_check_says_what_is_learned_and_what_is_simulated() -> None:
    degradation = [{"by": "ct", "sites": ["north-east"], "views": 32}, {"by": "photon_noise"}]
    plan = parse({"name": "x", **tiny.RESTORE, "task": {"name": "restoration", "degradation": degradation}})
    page = explain(plan)
    assert "learns    restoration (residual = False)" in page
    assert re.search(r"simulates ct \(views = 32, .*\) at north-east\n", page)
    assert re.search(r"simulates photon_noise \(.*\) at every other site\n", page)
    assert "some of the test images with what was made of them" in page
    assert "confusion" not in page


def test_masks_are_prepared_with_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))
    lines = ["image,label,site,patient,mask"]
    for name in ("a", "b", "c"):
        Image.new("L", (20, 20), 90).save(tmp_path / f"{name}.png")
        Image.new("L", (20, 20), 255).save(tmp_path / f"{name}-mask.png")
        lines.append(f"{name}.png,any,north,{name},{name}-mask.png")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    plan = tmp_path / "plan.toml"
    plan.write_text(to_toml(parse({"name": "x", **tiny.SEGMENT, "data": {"source": "manifest", "size_px": 16}})))
    first, second = prepare(tmp_path, plan, 0), prepare(tmp_path, plan, 0)
    assert (first.images, first.made, second.made) == (3, 3, 0)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2
    Image.new("L", (9, 9), 255).save(tmp_path / "b-mask.png")
    with pytest.raises(DataError, match=r"line 3: .*the mask is \(9, 9, 1\)"):
        prepare(tmp_path, plan, 0)
