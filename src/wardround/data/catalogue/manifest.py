"""A folder of images with a CSV table that names them: how a hospital brings data of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from wardround.data.cache import cached_pixels, fingerprint
from wardround.data.catalogue.base import find
from wardround.data.decode import check_size, decode_image, with_progress
from wardround.data.images import PARTS, LabelledImages
from wardround.errors import DataError

REQUIRED = ("image", "label", "site", "patient")
COLUMNS = (*REQUIRED, "part")


@dataclass(frozen=True)
class Manifest:
    """A folder with a table of the columns image, label, site, patient and, optionally, part (train, val or test).

    Attributes:
        path: the folder; empty takes the data root itself.
        table: name of the CSV file in the folder; UTF-8, first line the column names.
        size_px: edge of the square that each image is scaled to.
        channels: 1 (grey) or 3 (colour); other images are converted.
        classes: the labels in the order of the network's outputs; empty takes those of the table, sorted.
        malignant: the labels that count as malignant.
    """

    public: ClassVar[bool] = False

    path: str = ""
    table: str = "manifest.csv"
    size_px: int = 32
    channels: int = 3
    classes: tuple[str, ...] = ()
    malignant: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse sizes that no network can use.

        Raises:
            PlanError: `size_px` or `channels` is out of range.
        """
        check_size(self.size_px, self.channels)

    def load(self, root: Path | None) -> LabelledImages:
        """Return the images in the order of the table; patients are groups.

        Raises:
            DataError: the table or an image is absent, damaged, outside the folder or contradicts the rest.
        """
        folder = find(self.path or ".", root, (), "the manifest")
        rows = read_table(folder, self.table)
        classes = self._classes(rows, folder / self.table)
        return LabelledImages(
            pixels=self._pixels(rows),
            rows=np.arange(len(rows)),
            labels=np.array([classes.index(row.label) for row in rows], dtype=np.int64),
            origins=np.array([row.site for row in rows]),
            groups=np.array([row.patient for row in rows]),
            classes=classes,
            malignant=self.malignant,
            parts=np.array([row.part for row in rows]),
            public=self.public,
        )

    def _classes(self, rows: list[Row], table: Path) -> tuple[str, ...]:
        classes = self.classes or tuple(sorted({row.label for row in rows}))
        for row in rows:
            if row.label not in classes:
                raise DataError(
                    f"{row.where}: label {row.label!r} is none of the declared classes {', '.join(classes)}"
                )
        if empty := [name for name in classes if name not in {row.label for row in rows}]:
            raise DataError(f"class {empty[0]!r} has no image in {table}: add some or take it out of data.classes")
        if strange := [name for name in self.malignant if name not in classes]:
            raise DataError(f"data.malignant names {strange[0]!r}, which is no class; choose from {', '.join(classes)}")
        return classes

    def _pixels(self, rows: list[Row]) -> np.ndarray:
        def fill(block: np.ndarray) -> None:
            for index, row in enumerate(with_progress(rows, len(rows), "decoding images")):
                try:
                    file = row.file.open("rb")
                except OSError as error:
                    raise DataError(f"{row.where}: {row.file} cannot be read ({error.strerror}): check it") from None
                with file:
                    block[index] = decode_image(file, f"{row.where}: {row.file}", self.size_px, self.channels)

        key: dict[str, str | int] = {"source": "manifest", "files": fingerprint(row.file for row in rows)}
        size = {"size_px": self.size_px, "channels": self.channels}
        return cached_pixels({**key, **size}, (len(rows), self.size_px, self.size_px, self.channels), fill)


@dataclass(frozen=True)
class Row:
    """One line of the table, checked.

    Attributes:
        where: table and line, for errors.
        file: the image, resolved, inside the folder.
        label: as written.
        site: as written.
        patient: as written.
        part: ``"train"``, ``"val"``, ``"test"`` or ``""``.
    """

    where: str
    file: Path
    label: str
    site: str
    patient: str
    part: str


def read_table(folder: Path, table: str) -> list[Row]:
    """Read and check the table of `folder`.

    Raises:
        DataError: a column is unknown or missing, a cell empty, an image absent, listed twice or outside the folder, or
            a patient in two parts.
    """
    base = folder.resolve()
    path = inside(base, table, str(folder))
    rows = [_row(base, where, cells) for where, cells in _lines(path)]
    if not rows:
        raise DataError(f"{path} lists no image: add one line for each image below the column names")
    _refuse_contradictions(rows)
    return rows


def inside(base: Path, name: str, where: str) -> Path:
    """Return the existing file `name` below `base`, with every link followed.

    Raises:
        DataError: `name` is absolute, climbs or links out of the folder, or is not there.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise DataError(f"{where}: {name!r} is not a path inside the data folder: name files relative to {base}")
    try:
        found = (base / name).resolve()
        there = found.is_file()
    except (OSError, RuntimeError) as error:
        raise DataError(f"{where}: {name!r} cannot be followed ({error}): check it") from None
    if not found.is_relative_to(base):
        raise DataError(f"{where}: {name!r} links to {found}, outside the data folder: copy the file into {base}")
    if not there:
        raise DataError(f"{where}: file {base / name} does not exist: add it or remove the line")
    return found


def _lines(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(reader, [])]
        _check_columns(header, path)
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if cells and len(cells) != len(header):
                raise DataError(f"{where}: {len(cells)} cells instead of {len(header)}: quote cells that hold a comma")
            if cells:
                yield where, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a UTF-8 CSV table ({error}): save it again") from None


def _check_columns(header: list[str], path: Path) -> None:
    if strange := [name for name in header if name not in COLUMNS]:
        raise DataError(f"{path} has the unknown column {strange[0]!r}; the columns are {', '.join(COLUMNS)}")
    if missing := [name for name in REQUIRED if name not in header]:
        raise DataError(f"{path} has no column {missing[0]!r}; it needs {', '.join(REQUIRED)}")
    if len(set(header)) != len(header):
        raise DataError(f"{path} names a column twice; the columns are {', '.join(COLUMNS)}")


def _row(base: Path, where: str, cells: dict[str, str]) -> Row:
    if empty := [name for name in REQUIRED if not cells[name]]:
        raise DataError(f"{where}: {empty[0]} is empty; fill it in or remove the line")
    part = cells.get("part", "")
    if "part" in cells and part not in PARTS:
        raise DataError(f"{where}: part is {part!r}; give train, val or test, or leave the column out")
    return Row(where, inside(base, cells["image"], where), cells["label"], cells["site"], cells["patient"], part)


def _refuse_contradictions(rows: list[Row]) -> None:
    files: dict[Path, Row] = {}
    patients: dict[str, Row] = {}
    for row in rows:
        if (other := files.setdefault(row.file, row)) is not row:
            raise DataError(
                f"{row.where}: image {row.file} is listed before, at {other.where}: remove one of the lines"
            )
        if (other := patients.setdefault(row.patient, row)).part != row.part:
            raise DataError(
                f"{row.where}: patient {row.patient!r} is in part {row.part!r} here and in {other.part!r} at "
                f"{other.where}: move all images of a patient to one part"
            )
