"""MedMNIST files of every two-dimensional shape load; other shapes are refused in a sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from wardround.data.catalogue import MedMnist
from wardround.data.catalogue.medmnist import fitted
from wardround.data.sites import Dirichlet, Natural, Parts, partition
from wardround.errors import DataError, PlanError

COUNTS = {"train": 12, "val": 4, "test": 6}


def arrays(shape: tuple[int, ...] = (28, 28), labels: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for part, count in COUNTS.items():
        found[f"{part}_images"] = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        found[f"{part}_labels"] = np.tile(np.arange(count)[:, None] % 2, (1, labels)).astype(np.uint8)
    return found


def save(folder: Path, name: str = "toymnist", **content: np.ndarray) -> Path:
    path = folder / f"{name}.npz"
    np.savez_compressed(path, **content)
    return path


@pytest.mark.parametrize(("shape", "channels"), [((28, 28), 1), ((28, 28, 3), 3), ((64, 64, 3), 3)])
def test_grey_and_colour_files_load_with_their_split(tmp_path: Path, shape: tuple[int, ...], channels: int) -> None:
    content = arrays(shape)
    save(tmp_path, **content)
    images = MedMnist("toymnist").load(tmp_path)
    assert images.pixels.shape == (22, 28, 28, channels)
    assert images.parts.tolist() == ["train"] * 12 + ["val"] * 4 + ["test"] * 6
    assert images.labels.tolist() == [i % 2 for count in COUNTS.values() for i in range(count)]
    assert images.classes == ("0", "1")
    assert len(set(images.groups.tolist())) == 22
    if shape[0] == 28:
        assert np.array_equal(images.batch([12])[0].squeeze(), content["val_images"][0])
    dealt = partition(images, Natural(), Parts(), 0)
    assert list(dealt) == ["toymnist"]
    assert len(dealt["toymnist"].test) == 6


def test_padding_keeps_the_pixels_and_scaling_the_mean() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 1), dtype=np.uint8)
    padded = fitted(image, 32)
    assert np.array_equal(padded[2:30, 2:30], image)
    assert padded.sum() == image.sum(dtype=np.int64)
    for size_px in (14, 64):
        assert fitted(image, size_px).shape == (size_px, size_px, 1)
        assert abs(fitted(image, size_px).mean() - image.mean()) < 4


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (arrays((28, 28, 28)), "volumes"),
        (arrays((28, 28, 28, 3)), "volumes"),
        (arrays((28,)), "no images"),
        (arrays(labels=14), "14 labels"),
        ({**arrays(), "train_labels": np.zeros((3, 1), np.uint8)}, "13 labels"),
        ({**arrays(), "train_labels": np.full((12, 1), 0.5)}, "not integers"),
        ({**arrays(), "train_images": np.zeros((12, 28, 28))}, "float64"),
        ({**arrays(), "test_images": np.zeros((6, 28, 28, 3), np.uint8)}, "mixes grey and colour"),
        ({**arrays(), "train_images": np.array([None] * 12)}, "not a readable"),
        ({"images": np.zeros(3)}, "no MedMNIST file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: dict[str, np.ndarray], named: str) -> None:
    path = save(tmp_path, **content)
    with pytest.raises(DataError, match=named) as caught:
        MedMnist(path=str(path)).load(None)
    assert str(path) in str(caught.value)


def test_files_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, **arrays())
    whole = path.read_bytes()
    for data in (b"", b"rubbish", whole[: len(whole) // 2], whole[:200] + bytes(400) + whole[600:]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"toymnist\.npz"):
            MedMnist("toymnist").load(tmp_path)
    np.save(tmp_path / "bare.npy", np.zeros(3))
    with pytest.raises(DataError, match="not a readable"):
        MedMnist(path="bare.npy").load(tmp_path)


def test_class_names_have_to_cover_the_labels(tmp_path: Path) -> None:
    save(tmp_path, **arrays())
    with pytest.raises(DataError, match="label 1"):
        MedMnist("toymnist", classes=("only",)).load(tmp_path)
    images = MedMnist("toymnist", classes=("well", "ill"), malignant=("ill",)).load(tmp_path)
    assert (images.classes, images.malignant) == (("well", "ill"), ("ill",))


def test_an_absent_file_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "medmnist", None)
    with pytest.raises(DataError, match=f"put pathmnist.npz into {tmp_path}"):
        MedMnist("pathmnist").load(tmp_path)
    with pytest.raises(PlanError, match="plain name"):
        MedMnist("../secret")


def test_an_absent_file_is_fetched_by_the_medmnist_package(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(split: str, root: str, download: bool) -> None:
        assert (split, download) == ("train", True)
        save(Path(root), "pathmnist", **arrays((28, 28, 3)))

    package = SimpleNamespace(INFO={"pathmnist": {"python_class": "PathMNIST"}}, PathMNIST=fetch)
    monkeypatch.setitem(sys.modules, "medmnist", package)
    assert len(MedMnist("pathmnist").load(tmp_path)) == 22
    assert (own_cache / "pathmnist.npz").is_file()
    monkeypatch.setitem(sys.modules, "medmnist", None)
    assert len(MedMnist("pathmnist").load(None)) == 22  # from the cache now


def test_a_fetch_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(split: str, root: str, download: bool) -> None:
        raise RuntimeError("no network\nat all")

    package = SimpleNamespace(INFO={"pathmnist": {"python_class": "PathMNIST"}}, PathMNIST=fetch)
    monkeypatch.setitem(sys.modules, "medmnist", package)
    with pytest.raises(DataError, match=r"could not be fetched \(no network\)"):
        MedMnist("pathmnist").load(tmp_path)
    with pytest.raises(DataError, match="'toymnist' is no MedMNIST set"):
        MedMnist("toymnist").load(tmp_path)


def test_pneumoniamnist(shared_data: Path) -> None:
    images = MedMnist().load(shared_data)
    assert [int((images.parts == part).sum()) for part in ("train", "val", "test")] == [4708, 524, 624]
    assert images.classes == ("normal", "pneumonia")
    dealt = partition(images, Dirichlet(3, 0.5), Parts(), 0)
    assert sum(len(data.test) for data in dealt.values()) == 624
