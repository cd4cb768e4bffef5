"""Any two-dimensional MedMNIST data set from its ``.npz`` file (Yang et al. 2023, Scientific Data 10:41; CC BY 4.0)."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar

import numpy as np

from wardround.data.cache import cache_folder, fingerprint
from wardround.data.catalogue.base import find
from wardround.data.decode import check_size
from wardround.data.images import PARTS, LabelledImages
from wardround.data.prepare import Decoding, prepared
from wardround.errors import DataError, PlanError

CLASS_NAMES = {
    "breastmnist": ("malignant", "normal or benign"),
    "dermamnist": ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"),
    "pneumoniamnist": ("normal", "pneumonia"),
}
MALIGNANT = {"breastmnist": ("malignant",), "dermamnist": ("akiec", "bcc", "mel")}


@dataclass(frozen=True)
class MedMnist:
    """One MedMNIST file: grey or colour, two-dimensional, one label for each image, with the split that it came with.

    Attributes:
        dataset: its name, such as ``pneumoniamnist``; also the name of the one site.
        path: the ``.npz`` file; empty looks for ``<dataset>.npz`` below the data root, then fetches it with the
            optional package ``medmnist``.
        size_px: edge of the square that each image is brought to: up to a quarter larger by a black border, otherwise
            by scaling.
        classes: names of labels 0, 1, …; empty takes known names, else the numbers.
        malignant: the classes that count as malignant; empty takes what is known of the data set.
    """

    public: ClassVar[bool] = True

    dataset: str = "pneumoniamnist"
    path: str = ""
    size_px: int = 28
    classes: tuple[str, ...] = ()
    malignant: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a size no network can use and a name that is not one plain word.

        Raises:
            PlanError: a field is out of range.
        """
        check_size(self.size_px)
        if not self.dataset.replace("_", "").isalnum():
            raise PlanError(f"data.dataset is {self.dataset!r}; give a plain name such as pneumoniamnist")

    def load(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return all images, training part first; each image is a group of its own, as MedMNIST names no patients.

        Raises:
            DataError: the file is absent and cannot be fetched, damaged, three-dimensional or multi-label.
        """
        path = self._file(root)
        arrays = _read(path)
        labels = np.concatenate([_labels(arrays[f"{part}_labels"], path) for part in PARTS])
        parts = np.repeat(PARTS, [len(arrays[f"{part}_images"]) for part in PARTS])
        if len(labels) != len(parts):
            raise DataError(f"{path} holds {len(parts)} images but {len(labels)} labels: fetch it again")
        classes = (
            self.classes or CLASS_NAMES.get(self.dataset) or tuple(map(str, range(int(labels.max(initial=0)) + 1)))
        )
        if len(labels) and labels.max() >= len(classes):
            raise DataError(f"{path} holds label {labels.max()}, but data.classes names only {len(classes)} classes")
        return LabelledImages(
            pixels=self._pixels(path, [_images(arrays[f"{part}_images"], path) for part in PARTS], how),
            rows=np.arange(len(labels)),
            labels=labels,
            origins=np.full(len(labels), self.dataset),
            groups=np.char.add("image-", np.arange(len(labels)).astype(str)),
            classes=classes,
            malignant=self.malignant or (MALIGNANT.get(self.dataset, ()) if not self.classes else ()),
            parts=parts,
            public=self.public,
        )

    def _file(self, root: Path | None) -> Path:
        if self.path:
            return find(self.path, root, (), self.dataset)
        name = f"{self.dataset}.npz"
        places = [folder / name for folder in (root, cache_folder()) if folder is not None]
        for place in places:
            if place.is_file():
                return place
        return _fetched(self.dataset, cache_folder(), root)

    def _pixels(self, path: Path, blocks: list[np.ndarray], how: Decoding | None) -> np.ndarray:
        channels = {block.shape[3] for block in blocks}
        if len(channels) != 1:
            raise DataError(f"{path} mixes grey and colour images: fetch it again")
        key = {"source": "medmnist", "files": fingerprint([path]), "size_px": self.size_px}
        shape = (sum(map(len, blocks)), self.size_px, self.size_px, channels.pop())
        return prepared(key, shape, _Fitted(np.concatenate(blocks), self.size_px), how).pixels


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Brings images to size; see `prepare.Decoder`."""

    images: np.ndarray
    size_px: int

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        return fitted(self.images[row], self.size_px), ""

    def name(self, row: int) -> str:
        return f"image {row}"


def fitted(image: np.ndarray, size_px: int) -> np.ndarray:
    """Bring a uint8 image ``(H, W, C)`` to ``(size_px, size_px, C)``: by a black border if it suffices, else scaled."""
    from PIL import Image

    height, width, channels = image.shape
    if height <= size_px <= 1.25 * height and width <= size_px <= 1.25 * width:
        down, right = size_px - height, size_px - width
        border = ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0))
        return np.pad(image, border)
    picture = Image.fromarray(image if channels == 3 else image[..., 0])
    return np.asarray(picture.resize((size_px, size_px), Image.Resampling.BILINEAR)).reshape(size_px, size_px, channels)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            return {f"{part}_{kind}": archive[f"{part}_{kind}"] for part in PARTS for kind in ("images", "labels")}
    except KeyError as error:
        raise DataError(f"{path} is no MedMNIST file ({error.args[0]}): give one with images and labels") from None
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        TypeError,
    ):
        raise DataError(f"{path} is not a readable .npz file of plain arrays: fetch it again") from None


def _images(images: np.ndarray, path: Path) -> np.ndarray:
    if images.dtype != np.uint8:
        raise DataError(f"{path} holds {images.dtype} images; MedMNIST images are uint8")
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.ndim == 5 or (images.ndim == 4 and not colour):
        raise DataError(f"{path} holds volumes of shape {images.shape[1:]}; give a two-dimensional MedMNIST set")
    if images.ndim != 3 and not colour:
        raise DataError(f"{path} holds arrays of shape {images.shape[1:]}, which are no images: give a MedMNIST file")
    return images if colour else images[..., None]


def _labels(labels: np.ndarray, path: Path) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(f"{path} has {labels.shape[1]} labels for each image; give a set with one label for each image")
    flat = labels.reshape(-1)
    if not np.issubdtype(flat.dtype, np.integer) or (len(flat) and flat.astype(np.int64).min() < 0):
        raise DataError(f"{path} holds labels that are not integers from 0 on: fetch it again")
    return flat.astype(np.int64)


def _fetched(dataset: str, folder: Path, root: Path | None) -> Path:
    """Download ``<dataset>.npz`` into `folder` with the package ``medmnist``, which checks its digest."""
    advice = f"put {dataset}.npz into {root or 'the data root (--data)'} or name it in data.path"
    try:
        medmnist = import_module("medmnist")
    except ImportError:
        raise DataError(
            f"{dataset}.npz is not there and the package medmnist, which fetches it, is not: {advice}"
        ) from None
    if dataset not in medmnist.INFO:
        raise DataError(f"{dataset!r} is no MedMNIST set: {advice}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        getattr(medmnist, medmnist.INFO[dataset]["python_class"])(split="train", root=str(folder), download=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{dataset}.npz could not be fetched ({reason}): {advice}") from None
    return folder / f"{dataset}.npz"
