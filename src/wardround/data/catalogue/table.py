"""The table of a manifest: which image has which label, from which site and patient."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wardround.data.images import PARTS
from wardround.errors import DataError

REQUIRED = ("image", "label", "site", "patient")
COLUMNS = (*REQUIRED, "part", "frame", "mask", "region")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, checked. A table may have very many, so paths are kept as text.

    Attributes:
        line: its number in the file, the first line is 1.
        image: path of the image, resolved, inside the folder: a file, or a folder with one DICOM series.
        label: as written.
        site: as written.
        patient: as written.
        part: ``"train"``, ``"val"``, ``"test"`` or ``""``.
        frame: which slice of the image, from 0; ``None`` if the table does not say.
        mask: path of the mask, resolved, inside the folder; ``""`` if there is none.
        region: which region of an RT structure set is the mask; ``""`` for other masks.
    """

    line: int
    image: str
    label: str
    site: str
    patient: str
    part: str
    frame: int | None = None
    mask: str = ""
    region: str = ""

    @property
    def file(self) -> Path:
        """The image."""
        return Path(self.image)


def read_table(folder: Path, table: str) -> list[Row]:
    """Read and check the table of `folder`.

    Raises:
        DataError: a column is unknown or missing, a cell empty, an image absent, listed twice or outside the folder, or
            a patient in two parts.
    """
    rows = read_rows(folder, table)
    _refuse_contradictions(rows, folder / table)
    return rows


def read_rows(folder: Path, table: str) -> list[Row]:
    """Read the table of `folder` line by line, without comparing lines to each other.

    Raises:
        DataError: a column is unknown or missing, a cell empty, or an image absent or outside the folder.
    """
    base = folder.resolve()
    path = inside(base, table, str(folder))
    rows = [_row(base, path, line, cells) for line, cells in _lines(path)]
    if not rows:
        raise DataError(f"{path} lists no image: add one line for each image below the column names")
    return rows


def inside(base: Path, name: str, where: str, folders: bool = False) -> Path:
    """Return the existing file `name` below `base`, with every link followed.

    Args:
        base: the data folder, resolved.
        name: as the table has it.
        where: how errors call the place that names it.
        folders: whether it may be a folder.

    Raises:
        DataError: `name` is absolute, climbs or links out of the folder, or is not there.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise DataError(f"{where}: {name!r} is not a path inside the data folder: name files relative to {base}")
    try:
        found = (base / name).resolve()
        there = found.is_file() or (folders and found.is_dir())
    except (OSError, RuntimeError) as error:
        raise DataError(f"{where}: {name!r} cannot be followed ({error}): check it") from None
    if not found.is_relative_to(base):
        raise DataError(f"{where}: {name!r} links to {found}, outside the data folder: copy the file into {base}")
    if not there:
        raise DataError(f"{where}: file {base / name} does not exist: add it or remove the line")
    return found


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_columns(header, path)
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells instead of {len(header)}: quote cells "
                        "that hold a comma"
                    )
                if cells:
                    yield reader.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a UTF-8 CSV table ({error}): save it again") from None


def _check_columns(header: list[str], path: Path) -> None:
    if strange := [name for name in header if name not in COLUMNS]:
        raise DataError(f"{path} has the unknown column {strange[0]!r}; the columns are {', '.join(COLUMNS)}")
    if missing := [name for name in REQUIRED if name not in header]:
        raise DataError(f"{path} has no column {missing[0]!r}; it needs {', '.join(REQUIRED)}")
    if len(set(header)) != len(header):
        raise DataError(f"{path} names a column twice; the columns are {', '.join(COLUMNS)}")


def _row(base: Path, path: Path, line: int, cells: dict[str, str]) -> Row:
    where = f"{path}, line {line}"
    if empty := [name for name in REQUIRED if not cells[name]]:
        raise DataError(f"{where}: {empty[0]} is empty; fill it in or remove the line")
    part, frame = cells.get("part", ""), cells.get("frame", "")
    if "part" in cells and part not in PARTS:
        raise DataError(f"{where}: part is {part!r}; give train, val or test, or leave the column out")
    if frame and not (frame.isascii() and frame.isdecimal() and len(frame) < 6):
        raise DataError(f"{where}: frame is {frame!r}; give the number of a slice, from 0 on, or leave it empty")
    mask, region = cells.get("mask", ""), cells.get("region", "")
    if region and not mask:
        raise DataError(f"{where}: a region is named but no mask; name the RT structure set in the column mask")
    return Row(
        line=line,
        image=str(inside(base, cells["image"], where, folders=True)),
        label=sys.intern(cells["label"]),
        site=sys.intern(cells["site"]),
        patient=cells["patient"],
        part=sys.intern(part),
        frame=int(frame) if frame else None,
        mask=str(inside(base, mask, where)) if mask else "",
        region=sys.intern(region),
    )


def _refuse_contradictions(rows: list[Row], path: Path) -> None:
    images: dict[str | tuple[str, int], Row] = {}
    patients: dict[str, Row] = {}
    for row in rows:
        where = f"{path}, line {row.line}"
        if (other := images.setdefault(row.image if row.frame is None else (row.image, row.frame), row)) is not row:
            raise DataError(
                f"{where}: image {row.image} is listed before, at line {other.line}: remove one of the lines"
            )
        if (other := patients.setdefault(row.patient, row)).part != row.part:
            raise DataError(
                f"{where}: patient {row.patient!r} is in part {row.part!r} here and in {other.part!r} at line "
                f"{other.line}: move all images of a patient to one part"
            )
