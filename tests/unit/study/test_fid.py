"""FID of a run: from a file of weights on the command line to two distances, and when they are called so."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inception_state import inception_network, inception_state
from PIL import Image
from terminal import wardround

from wardround.metrics.synthesis import frechet_distance, kernel_distance
from wardround.study.build import sites_of
from wardround.study.fid import InceptionDistances, inception_distances
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import parse
from wardround.study.synthetic import synthesise
from wardround.tasks import inception_features, inception_weights
from wardround.tasks.inception_weights import Weighted

TABLE: dict[str, Any] = {
    "name": "made",
    "rounds": 1,
    "task": {"name": "synthesis"},
    "model": {"name": "dcgan", "size_px": 16, "width": 4, "latent": 4},
    "algorithm": {"name": "fedgan"},
    "training": {"steps": 1, "batch_size": 4, "optimiser": "adamw", "learning_rate": 0.002},
    "evaluation": {"every": 0, "bootstrap": 0},
}
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "synthesise.md"
PARTS = {"train": 8, "val": 3, "test": 4}


@pytest.fixture(scope="module", autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARDROUND_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(inception_features, "SIZE_PX", 75)  # a tenth of the time; the slow test leaves it as it is
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run on a few grey images of two classes, three of one to one of the other."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    lines = ["image,label,site,patient,part"]
    for part, count in PARTS.items():
        for number in range(count):
            Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / f"{part}{number}.png")
            lines.append(f"{part}{number}.png,{'ab'[number % 4 == 1]},here,{part}{number},{part}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    plan = {**TABLE, "data": {"source": "manifest", "path": str(folder), "size_px": 16, "channels": 1}}
    return train(parse(plan), tmp_path_factory.mktemp("runs") / "made", workers=0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(inception_state(), path)
    return path


@pytest.fixture
def words(run: Path, weights: Path, tmp_path: Path) -> list[object]:
    """Return the command of the how-to, on this run and these weights."""
    [line] = [each for each in PAGE.read_text().splitlines() if each.startswith("wardround") and "--inception" in each]
    stand_ins = {"RUN": run, "images": tmp_path / "images", "200": 2, inception_weights.PUBLISHED_FILE: weights}
    given = line.split()[1:]
    assert set(stand_ins) < set(given)
    return [stand_ins.get(word, word) for word in given]


def test_the_page_says_what_the_published_file_is() -> None:
    page = PAGE.read_text()
    assert inception_weights.PUBLISHED_SHA256 in page
    assert inception_weights.PUBLISHED_FILE == f"pt_inception-2015-12-05-{inception_weights.PUBLISHED_SHA256[:8]}.pth"


def test_other_weights_give_a_distance_that_is_not_called_fid(
    words: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    said = wardround(capsys, *words)
    assert said.code == 0
    line, written = said.out.splitlines()
    assert line.startswith("on Inception's features: Fréchet distance ")
    assert "between 4 real test images and as many synthetic ones of the same classes, of 16 pixels" in line
    assert "FID" not in said.out
    assert "KID" not in said.out
    assert Path(written).is_file()
    named, few = said.err.splitlines()
    assert named.startswith("warning: the file is not, byte for byte, pt_inception-2015-12-05-6726825d.pth")
    assert few.startswith("warning: of 4 images a covariance of 2048 features lacks full rank")


def test_the_published_weights_alone_give_fid_and_kid(
    words: list[object], weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inception_weights, "PUBLISHED_SHA256", hashlib.sha256(weights.read_bytes()).hexdigest())
    said = wardround(capsys, *words)
    assert said.out.startswith("on Inception's features: FID ")
    assert ", KID " in said.out
    [warning] = said.err.splitlines()
    assert "the FID is biased upwards" in warning


@pytest.mark.parametrize("part", ["val", "test"])
def test_the_distances_are_those_of_images_that_are_written(part: str, run: Path, tmp_path: Path) -> None:
    network = inception_network()
    found = inception_distances(run, Weighted(network, ""), None, part, seed=5)
    [site] = sites_of(RunFolder(run).plan(), None).values()
    images = getattr(site, part)
    counts = images.label_counts().tolist()
    table = synthesise(run, tmp_path / "images", max(counts), seed=5)
    names = [f"{place}-{number:06d}.png" for place, count in enumerate(counts) for number in range(count)]
    made = np.stack([np.asarray(Image.open(table.parent / name))[..., None] for name in names])
    real, synthetic = (
        np.concatenate(list(inception_features.inception_features(network, pixels)))
        for pixels in (images.batch(slice(None)), made)
    )
    assert found.images == len(names) == PARTS[part]
    assert found.frechet == pytest.approx(frechet_distance(real, synthetic), rel=1e-6)
    assert found.kernel == pytest.approx(kernel_distance(real, synthetic), rel=1e-6)
    assert found.frechet > 0


@pytest.mark.parametrize(("images", "warned"), [(2048, True), (2049, False)])
def test_a_covariance_has_full_rank_of_one_image_more_than_features(images: int, warned: bool) -> None:
    found = InceptionDistances(1.0, 0.1, images, "test", 32, published=True)
    assert bool(found.warnings) == warned
    rank = np.linalg.matrix_rank(np.cov(np.random.default_rng(1).normal(size=(images - 2040, 8)), rowvar=False))
    assert (rank < 8) == warned  # the same rule, of eight features


def test_bad_input_ends_before_anything_is_written(
    words: list[object], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.pth").write_bytes(weights.read_bytes()[:-100])
    said = wardround(capsys, *[tmp_path / "broken.pth" if word == weights else word for word in words])
    assert (said.code, said.out) == (2, "")
    assert said.sentence.startswith("broken.pth is damaged")
    said = wardround(capsys, *words, "--against", "everything")
    assert (said.code, said.sentence) == (2, "--against everything is unknown: choose from train, val, test")
    assert not (tmp_path / "images").exists()
    (tmp_path / "images").mkdir()
    said = wardround(capsys, *[tmp_path / "broken.pth" if word == weights else word for word in words])
    assert said.sentence.endswith("exists: choose another --out")


@pytest.mark.slow
def test_the_whole_way_at_full_size(
    words: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inception_features, "SIZE_PX", 299)
    said = wardround(capsys, *words)
    assert said.code == 0
    assert float(said.out.split("Fréchet distance ")[1].split(",")[0]) > 0
