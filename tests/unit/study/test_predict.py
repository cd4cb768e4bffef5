"""`predict` says about an image file what the run itself said about that image."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tiny
from PIL import Image

from wardround.data.catalogue import MedMnist, Slide
from wardround.data.catalogue.medmnist import fitted
from wardround.data.catalogue.slide import (
    LOOKS,
    REGION_PX,
    embedded_slide,
    gain_normalised,
    patch_places,
    patches_of,
    scanned,
    strips,
)
from wardround.errors import DataError, RunFolderError
from wardround.study.folder import RunFolder
from wardround.study.predict import predict, read_as
from wardround.study.run import train
from wardround.study.spec import parse, to_toml

TOLERANCE = 1e-5
SITES = ("east", "west")
DOCS = Path(__file__).parents[3] / "docs" / "how-to" / "load-the-model.md"
QUICK = {"training": {"steps": 2, "batch_size": 8}, "evaluation": {"every": 0, "bootstrap": 0, "share": "predictions"}}


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDROUND_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital's folder: grey pictures that are larger than the network's input, in three formats."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    rows = []
    for index in range(48):
        name = f"image-{index:02d}.{('png', 'jpg', 'tiff')[index % 3]}"
        pixels = rng.integers(0, 200, (20, 26)) + 50 * (index % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
        part = ("train", "train", "val", "test")[index // 2 % 4]
        rows.append((name, ("dark", "light")[index % 2], SITES[index // 24], f"patient {index}", part))
    with (folder / "manifest.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("image", "label", "site", "patient", "part"), *rows])
    return folder


def trained(folder: Path, images: Path, algorithm: str, channels: int = 1) -> Path:
    plan = parse(
        {
            **QUICK,
            "name": algorithm,
            "rounds": 2,
            "data": {"source": "manifest", "path": str(images), "size_px": 16, "channels": channels},
            "algorithm": {"name": algorithm},
        }
    )
    return train(plan, out=folder / algorithm, workers=0)


def test_files(images: Path, site: str) -> list[Path]:
    with (images / "manifest.csv").open(newline="") as table:
        return [images / row["image"] for row in csv.DictReader(table) if (row["site"], row["part"]) == (site, "test")]


test_files.__test__ = False  # type: ignore[attr-defined]


def said_by_run(run: Path, site: str) -> np.ndarray:
    arrays = safetensors.numpy.load_file(run / "predictions.safetensors")
    return np.asarray(arrays["probabilities"][arrays["sites"] == SITES.index(site)])


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory, images: Path, own_cache: None) -> Path:
    return trained(tmp_path_factory.mktemp("runs"), images, "fedavg")


@pytest.fixture(scope="module")
def personal_run(tmp_path_factory: pytest.TempPathFactory, images: Path, own_cache: None) -> Path:
    return trained(tmp_path_factory.mktemp("runs"), images, "fedbn", channels=3)


def as_array(predictions: Any) -> np.ndarray:
    return np.array([list(each.probabilities.values()) for each in predictions])


@pytest.mark.parametrize("site", SITES)
def test_a_shared_model_repeats_the_final_test(shared_run: Path, images: Path, site: str) -> None:
    files = test_files(images, site)
    found = predict(shared_run, files)
    assert len(found) == 6
    assert [each.file for each in found] == files
    assert list(found[0].probabilities) == ["dark", "light"]
    np.testing.assert_allclose(as_array(found), said_by_run(shared_run, site), atol=TOLERANCE)
    chosen = as_array(found).argmax(axis=1)
    assert [each.predicted for each in found] == [("dark", "light")[index] for index in chosen]


@pytest.mark.parametrize("site", SITES)
def test_a_personal_model_repeats_the_final_test_of_its_site(personal_run: Path, images: Path, site: str) -> None:
    found = predict(personal_run, test_files(images, site), site)
    np.testing.assert_allclose(as_array(found), said_by_run(personal_run, site), atol=TOLERANCE)


def test_sites_of_a_personal_model_differ(personal_run: Path, images: Path) -> None:
    files = test_files(images, "east")
    assert np.abs(
        as_array(predict(personal_run, files, "east")) - as_array(predict(personal_run, files, "west"))
    ).max() > (10 * TOLERANCE)


def test_a_memory_that_no_round_counted_is_not_used(personal_run: Path, images: Path, tmp_path: Path) -> None:
    run = copied(personal_run, tmp_path)
    shutil.copytree(personal_run.with_name("fedbn.sites"), tmp_path / "fedbn.sites")
    folder = tmp_path / "fedbn.sites" / "east"
    last = max(folder.glob("memory-*.safetensors"))
    lost = {name: value + 1 for name, value in safetensors.numpy.load_file(last).items()}
    safetensors.numpy.save_file(lost, folder / "memory-000002.safetensors")
    found = predict(run, test_files(images, "east"), "east")
    np.testing.assert_allclose(as_array(found), said_by_run(personal_run, "east"), atol=TOLERANCE)


def test_a_personal_model_asks_for_a_site(personal_run: Path, images: Path) -> None:
    with pytest.raises(RunFolderError, match="name a site, east, west"):
        predict(personal_run, test_files(images, "east"))
    with pytest.raises(RunFolderError, match="'north' is not in the run: choose from east, west"):
        predict(personal_run, test_files(images, "east"), "north")


def test_a_personal_model_without_its_sites_folder_is_refused(personal_run: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="does not hold the weights of site 'east', which stay with it"):
        predict(copied(personal_run, tmp_path), test_files(images, "east"), "east")


def test_slide_patches_lose_their_stain(tmp_path: Path) -> None:
    plan = parse({**QUICK, "name": "slide", "rounds": 1, "data": {"source": "slide"}})
    run = train(plan, out=tmp_path / "run", workers=0)
    places, look = patch_places(16, 6), LOOKS[0]  # the first site in the order of names
    plane = np.zeros((2 * REGION_PX, 2 * REGION_PX, 3), np.uint8)
    here = np.s_[look.corner[0] : look.corner[0] + REGION_PX, look.corner[1] : look.corner[1] + REGION_PX]
    plane[here] = gain_normalised(scanned(embedded_slide()[here], look), strips(16)[0].end)
    chosen = np.flatnonzero((places.sites == look.site) & (places.parts == "test"))
    files = []
    for number, patch in enumerate(patches_of(plane, places, 16)[chosen][:20]):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(patch).save(files[-1])
    expected = safetensors.numpy.load_file(run / "predictions.safetensors")["probabilities"][:20]
    np.testing.assert_allclose(as_array(predict(run, files)), expected, atol=TOLERANCE)


def test_medmnist_sized_pictures_get_their_border(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for size_px in (28, 32, 64):
        with (tmp_path / "a.png").open("rb") as file:
            found = read_as(MedMnist(size_px=size_px), file, "a.png", 3)
        np.testing.assert_array_equal(found, fitted(pixels, size_px))
    Image.fromarray(pixels[:20]).save(tmp_path / "oblong.png")
    with (tmp_path / "oblong.png").open("rb") as file:
        assert read_as(MedMnist(size_px=32), file, "oblong.png", 3).shape == (32, 32, 3)


@pytest.mark.parametrize("source", [MedMnist(), Slide()])
def test_every_way_of_reading_names_a_file_that_is_no_image(tmp_path: Path, source: Any) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with (tmp_path / "a.png").open("rb") as file, pytest.raises(DataError, match=r"a\.png is not a PNG"):
        read_as(source, file, "a.png", 3)


def test_unreadable_files_are_named(shared_run: Path, images: Path, tmp_path: Path) -> None:
    good = test_files(images, "east")
    (tmp_path / "torn.png").write_bytes(good[0].read_bytes()[:60])
    with pytest.raises(DataError, match=r"torn\.png"):
        predict(shared_run, [*good, tmp_path / "torn.png"])
    with pytest.raises(DataError, match=r"absent\.png cannot be read"):
        predict(shared_run, [tmp_path / "absent.png"])


def test_no_files_no_predictions(shared_run: Path) -> None:
    assert predict(shared_run, []) == []


def copied(run: Path, into: Path) -> Path:
    return Path(shutil.copytree(run, into / run.name))


def test_a_model_that_is_not_the_summarys_is_refused(shared_run: Path, tmp_path: Path) -> None:
    run = copied(shared_run, tmp_path)
    content = bytearray((run / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (run / "model.safetensors").write_bytes(content)
    with pytest.raises(RunFolderError, match="its SHA-256 differs"):
        predict(run, [])
    (run / "model.safetensors").unlink()
    with pytest.raises(RunFolderError, match="cannot be read"):
        predict(run, [])


def with_model(run: Path, content: bytes) -> None:
    import hashlib

    (run / "model.safetensors").write_bytes(content)
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "model_sha256": hashlib.sha256(content).hexdigest()}))


def test_a_model_of_another_network_is_refused(shared_run: Path, tmp_path: Path) -> None:
    run = copied(shared_run, tmp_path)
    weights = safetensors.numpy.load_file(run / "model.safetensors")
    first = next(iter(weights))
    facts = {"wardround": json.dumps({"classes": ["dark", "light"], "channels": 3, "personal": []})}
    for damaged in ({**weights, first: weights[first][:1]}, {k: v for k, v in weights.items() if k != first}):
        with_model(run, safetensors.numpy.save(damaged, facts))
        with pytest.raises(RunFolderError, match="does not hold the weights of the network in plan"):
            predict(run, [])
    with_model(run, safetensors.numpy.save(weights))
    with pytest.raises(RunFolderError, match="is no model of this package"):
        predict(run, [])
    with_model(run, b"no tensors")
    with pytest.raises(RunFolderError, match="is no model of this package"):
        predict(run, [])


def test_runs_that_are_not_done_are_refused(shared_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no run folder: it holds no plan\.toml"):
        predict(tmp_path, [])
    run = copied(shared_run, tmp_path)
    (run / "summary.json").write_text(json.dumps({"schema": 1, "status": "failed"}))
    with pytest.raises(RunFolderError, match="its run stopped"):
        predict(run, [])


def test_a_run_whose_coordinator_was_blind_says_where_its_model_is(
    shared_run: Path, images: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(shared_run, tmp_path / "sealed"))
    sealed = replace(RunFolder(run).plan(), pipeline=tiny.plan(protect=tiny.PIPELINES["packed and masked"]).pipeline)
    (run / "plan.toml").write_text(to_toml(sealed))
    model = run / "model.safetensors"
    kept = model.rename(tmp_path / "at-a-site")
    with pytest.raises(RunFolderError) as refusal:
        predict(run, [images / "image-00.png"])
    assert str(refusal.value) == (
        f"{model} does not exist, because the coordinator of this run never saw the model: copy it here from a site, "
        "where it is sealed.sites/SITE/model.safetensors below WARDROUND_STORE"
    )
    kept.rename(model)
    assert len(predict(run, [images / "image-00.png"])) == 1


def test_the_code_in_the_docs_loads_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    plan = parse({**QUICK, "name": "slide", "rounds": 1, "data": {"source": "slide"}, "model": {"width": 32}})
    run = train(plan, out=tmp_path / "run", workers=0)
    monkeypatch.chdir(run)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    assert len([line for line in blocks[0].splitlines() if line]) == 5
    networks = []
    for block in blocks[:2]:
        names: dict[str, Any] = {}
        exec(block, names)  # what a reader would paste
        networks.append(names["network"])
        exec(blocks[2], names)
        assert list(names["probabilities"]) == ["little DAB", "much DAB"]
        assert sum(names["probabilities"].values()) == pytest.approx(1)
    saved = safetensors.numpy.load_file("model.safetensors")
    for network in networks:
        assert not network.training
        assert {name: value.shape for name, value in network.state_dict().items()} == {
            n: v.shape for n, v in saved.items()
        }
        assert all(np.array_equal(value.numpy(), saved[name]) for name, value in network.state_dict().items())
    black = torch.full((1, 3, 16, 16), -2.0)
    Image.new("RGB", (16, 16)).save("black.png")
    with (run / "black.png").open("rb") as file:
        seen = torch.from_numpy(read_as(Slide(), file, "black.png", 3)).permute(2, 0, 1)[None].float() / 63.75 - 2
    said = as_array(predict(run, [run / "black.png"]))
    np.testing.assert_allclose(networks[0](seen).softmax(dim=1).detach().numpy(), said, atol=TOLERANCE)
    assert networks[0](black).shape == (1, 2)
