"""HAM10000: 10,015 dermatoscopic images of pigmented skin lesions in seven classes, from four sites.

Tschandl, Rosendahl and Kittler 2018, Scientific Data 5:180161; CC BY-NC 4.0: cite it, non-commercial use only.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, ClassVar, Protocol

import numpy as np

from wardround.data.cache import fingerprint
from wardround.data.catalogue.base import find
from wardround.data.decode import check_size, decode_image
from wardround.data.images import LabelledImages
from wardround.data.masks import Masks
from wardround.data.prepare import Decoding, prepared
from wardround.errors import DataError

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MALIGNANT = ("akiec", "bcc", "mel")
COLUMNS = ("image", "site", "lesion_id", "label")
REGIONS = ("skin", "lesion")
HALF = 127
"""Grey level of a mask above which more than half of a pixel lies in the lesion."""


@dataclass(frozen=True)
class Ham10000:
    """HAM10000 from its zip or from the unpacked folder: ``metadata.csv`` and the images it names.

    Attributes:
        path: the zip or folder; empty looks for ``ham10000.zip``, then ``ham10000/``, below the data root.
        size_px: edge of the square that each image is scaled to.
    """

    public: ClassVar[bool] = True

    path: str = ""
    size_px: int = 32

    def __post_init__(self) -> None:
        """Refuse an edge that no network can use.

        Raises:
            PlanError: `size_px` is out of range.
        """
        check_size(self.size_px)

    def load(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return all images in the order of their file names; sites are origins, lesions are groups.

        Raises:
            DataError: the archive, its metadata or an image is absent or damaged.
        """
        source = find(self.path, root, ("ham10000.zip", "ham10000"), "HAM10000")
        with _opened(source) as files:
            rows = _read_metadata(files, source)
            return LabelledImages(
                pixels=self._pixels(source, files, [row["image"] for row in rows], how),
                rows=np.arange(len(rows)),
                labels=np.array([CLASSES.index(row["label"]) for row in rows], dtype=np.int64),
                origins=np.array([row["site"] for row in rows]),
                groups=np.array([row["lesion_id"] for row in rows]),
                classes=CLASSES,
                malignant=MALIGNANT,
                parts=np.full(len(rows), ""),
                public=self.public,
            )

    def load_masked(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return all images with the masks of the lesions that come with them.

        A pixel belongs to the lesion where more than half of its area does. The images do not say how large a pixel is.

        Raises:
            DataError: as for `load`, or a mask is absent or damaged.
        """
        images = self.load(root, how)
        source = find(self.path, root, ("ham10000.zip", "ham10000"), "HAM10000")
        with _opened(source) as files:
            rows = _read_metadata(files, source)
            if missing := [row["image"] for row in rows if not row.get("mask")]:
                raise DataError(f"metadata.csv in {source} names no mask for {missing[0]}: fetch it again")
            names = tuple(row["mask"] for row in rows)
            key = {"source": "ham10000 masks", "files": files.fingerprint(list(names)), "size_px": self.size_px}
            masks = prepared(
                key, (len(names), self.size_px, self.size_px, 1), _Outlines(source, names, self.size_px), how
            )
        return replace(images, masks=Masks(masks.pixels[..., 0], REGIONS))

    def _pixels(self, source: Path, files: _Files, names: list[str], how: Decoding | None) -> np.ndarray:
        key = {"source": "ham10000", "files": files.fingerprint(names), "size_px": self.size_px}
        shape = (len(names), self.size_px, self.size_px, 3)
        return prepared(key, shape, _Pictures(source, tuple(names), self.size_px), how).pixels


@dataclass(frozen=True)
class _Pictures:
    """Decodes the pictures of an archive or folder; see `prepare.Decoder`."""

    source: Path
    names: tuple[str, ...]
    size_px: int

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        with _kept_open(self.source).open(self.names[row]) as file:
            return decode_image(file, self.name(row), self.size_px, 3), ""

    def name(self, row: int) -> str:
        return f"{self.source}: {self.names[row]}"


@dataclass(frozen=True)
class _Outlines:
    """Decodes the masks of an archive or folder; see `prepare.Decoder`."""

    source: Path
    names: tuple[str, ...]
    size_px: int

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        with _kept_open(self.source).open(self.names[row]) as file:
            grey = decode_image(file, self.name(row), self.size_px, 1)
        return (grey > HALF).astype(np.uint8), ""

    def name(self, row: int) -> str:
        return f"{self.source}: {self.names[row]}"


class _Files(Protocol):
    def open(self, name: str) -> IO[bytes]: ...

    def fingerprint(self, names: list[str]) -> str: ...


@dataclass(frozen=True)
class _ZipFiles:
    path: Path
    archive: zipfile.ZipFile

    def open(self, name: str) -> IO[bytes]:
        try:
            return io.BytesIO(self.archive.read(name))
        except KeyError:
            raise DataError(f"{self.path} holds no {name}: fetch the archive again") from None
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{name} in {self.path} is damaged ({error}): fetch the archive again") from None

    def fingerprint(self, names: list[str]) -> str:
        return fingerprint([self.path])


@dataclass(frozen=True)
class _FolderFiles:
    path: Path

    def open(self, name: str) -> IO[bytes]:
        path = self._inside(name)
        try:
            return path.open("rb")
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): unpack the archive again") from None

    def fingerprint(self, names: list[str]) -> str:
        return fingerprint(self._inside(name) for name in names)

    def _inside(self, name: str) -> Path:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{self.path}: the metadata names {name!r}, which lies outside the folder: correct it")
        return self.path / name


@contextmanager
def _opened(source: Path) -> Iterator[_Files]:
    if source.is_dir():
        yield _FolderFiles(source)
        return
    with _archive(source) as archive:
        yield _ZipFiles(source, archive)


@lru_cache(maxsize=1)
def _kept_open(source: Path) -> _Files:
    """Return what reads the files of `source`, opened once in each process that decodes."""
    return _FolderFiles(source) if source.is_dir() else _ZipFiles(source, _archive(source))


def _archive(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{source} is not a readable zip archive ({error}): fetch it again") from None


def _read_metadata(files: _Files, source: Path) -> list[dict[str, str]]:
    with files.open("metadata.csv") as file:
        try:
            reader = csv.DictReader(io.StringIO(file.read().decode("utf-8-sig")))
            rows = sorted(reader, key=lambda row: row.get("image") or "")
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"metadata.csv in {source} cannot be read ({error}): fetch it again") from None
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise DataError(f"metadata.csv in {source} has no column {missing[0]!r}: fetch it again")
    for row in rows:
        if not all(row[name] for name in COLUMNS) or row["label"] not in CLASSES:
            raise DataError(f"metadata.csv in {source} has no known label, site or lesion for image {row['image']!r}")
    return rows
