"""What a folder holds, counted for its site: nothing that identifies a patient, and no file name, is in the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wardround.data.catalogue.table import Row, read_rows
from wardround.data.decode import with_progress
from wardround.data.isolated import Isolated
from wardround.data.look import Look, look_at
from wardround.errors import DataError

MAX_FILES = 1_000_000
MAX_THUMBNAILS = 24
CHUNK = 16
ALIKE_BITS = 12
"""Images look alike when their coarse hashes are equal and their fine ones differ in no more bits, of 256.

Of the 12 pairs that this finds in HAM10000, 11 show the same lesion; with 24 bits it is 12 of 52.
"""
TABLE = "manifest.csv"
NOT_LOOKED_AT = frozenset({TABLE, ".DS_Store", "Thumbs.db"})


@dataclass
class Inspection:
    """What was counted; see `Look` for the words.

    Attributes:
        files: number of files.
        kinds: files of each format.
        modalities: images of each modality, ``"(unsaid)"`` where the file does not say.
        scanners: images of each manufacturer and model.
        sizes: images of each size.
        spacings: images of each spacing in mm.
        burned_in: images by what they say of text burnt into their pixels.
        removed: what reading takes out or leaves behind, by name.
        refused: files that cannot be used, by reason, without their names.
        refused_files: the sentences, with their names; for the operator's eyes.
        outside: links that lead out of the folder and are not followed.
        patients: patients named in headers.
        look_alikes: groups of images that look alike, by their size.
        labels: rows of the table of each site and label.
        parts: rows of the table of each part.
        table_patients: patients named in the table.
        in_two_parts: patients, by table or by header, whose images are in two parts.
        table_problem: why the table cannot be used; for the operator's eyes.
        thumbnails: some images, as different as possible, each with what it is.
    """

    files: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    modalities: Counter[str] = field(default_factory=Counter)
    scanners: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    spacings: Counter[str] = field(default_factory=Counter)
    burned_in: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refused_files: list[str] = field(default_factory=list)
    outside: int = 0
    patients: int = 0
    look_alikes: Counter[int] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    table_patients: int = 0
    in_two_parts: int = 0
    table_problem: str = ""
    thumbnails: list[tuple[str, np.ndarray]] = field(default_factory=list)

    @property
    def images(self) -> int:
        """Number of images."""
        return self.sizes.total()

    @property
    def repeated(self) -> int:
        """Images beyond the first of each group that looks the same."""
        return sum((size - 1) * groups for size, groups in self.look_alikes.items())


def inspect(folder: Path, workers: int = 0) -> Inspection:
    """Look at every file below `folder`, and at its ``manifest.csv`` if there is one.

    Args:
        folder: of a site.
        workers: processes; 0 looks in this one.

    Raises:
        DataError: there is no such folder, or it holds more than a million files.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: name the one with the images")
    found = Inspection()
    rows = _rows_of(folder, found)
    paths = _files_below(folder, found)
    found.files = len(paths)
    fine_of: dict[int, list[int]] = {}
    parts_of: dict[str, set[str]] = {}
    patients: set[str] = set()
    for path, look in zip(paths, with_progress(looks(paths, workers), len(paths), "looking at files"), strict=True):
        _count(found, path, look)
        coarse, fine = look.likeness
        if coarse and fine:
            fine_of.setdefault(coarse, []).append(fine)
        if look.patient:
            patients.add(look.patient)
            for row in rows.get(path, ()):
                parts_of.setdefault(f"header {look.patient}", set()).add(row.part)
    for row in (row for several in rows.values() for row in several):
        parts_of.setdefault(f"table {row.patient}", set()).add(row.part)
    found.look_alikes = Counter(size for hashes in fine_of.values() for size in _cluster_sizes(hashes) if size > 1)
    found.patients = len(patients)
    found.in_two_parts = sum(len(parts) > 1 for parts in parts_of.values())
    return found


def _cluster_sizes(hashes: list[int]) -> list[int]:
    """Return how many of `hashes` lie within `ALIKE_BITS` of each that is the first of its kind."""
    firsts: list[int] = []
    sizes: list[int] = []
    for one in hashes:
        near = next((place for place, first in enumerate(firsts) if (one ^ first).bit_count() <= ALIKE_BITS), None)
        if near is None:
            firsts.append(one)
            sizes.append(1)
        else:
            sizes[near] += 1
    return sizes


def _files_below(folder: Path, found: Inspection) -> list[Path]:
    base = folder.resolve()
    paths = []
    for path in sorted(base.rglob("*")):  # symbolic links to folders are not entered
        if path.name in NOT_LOOKED_AT or not path.is_file():
            continue
        if not path.resolve().is_relative_to(base):
            found.outside += 1
            continue
        paths.append(path)
        if len(paths) > MAX_FILES:
            raise DataError(f"{folder} holds more than {MAX_FILES} files: inspect its parts one by one")
    return paths


def _rows_of(folder: Path, found: Inspection) -> dict[Path, list[Row]]:
    if not (folder / TABLE).is_file():
        return {}
    try:
        rows = read_rows(folder, TABLE)
    except DataError as error:
        found.table_problem = str(error)
        return {}
    by_file: dict[Path, list[Row]] = {}
    for row in rows:
        found.labels[row.site, row.label] += 1
        found.parts[row.part or "(not fixed)"] += 1
        for file in row.file.iterdir() if row.file.is_dir() else (row.file,):
            by_file.setdefault(file, []).append(row)
    found.table_patients = len({row.patient for row in rows})
    return by_file


def looks(paths: list[Path], workers: int) -> Iterator[Look]:
    """Look at files, in their order; one that takes its process down is refused like any other.

    Args:
        paths: of the files.
        workers: processes; 0 looks in this one.
    """
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    for found in Isolated(_look_at_each, _lost).over(chunks, workers):
        yield from found


def _look_at_each(paths: Sequence[Path]) -> list[Look]:
    return [look_at(path) for path in paths]


def _lost(path: Path) -> Look:
    return Look("other", refused=f"{path} took its decoder down: replace or remove it")


def _count(found: Inspection, path: Path, look: Look) -> None:
    found.kinds[look.kind] += 1
    found.removed.update(look.removed)
    if look.refused:
        found.refused_files.append(look.refused)
        found.refused[look.refused.replace(str(path), "the file")] += 1
        return
    if look.thumbnail is None:
        return
    found.modalities[look.modality or "(unsaid)"] += 1
    found.scanners[look.scanner or "(unsaid)"] += 1
    found.sizes[look.size] += 1
    found.spacings[look.spacing or "(unsaid)"] += 1
    found.burned_in[look.burned_in] += 1
    _keep_thumbnail(found, look)


def _keep_thumbnail(found: Inspection, look: Look) -> None:
    what = " · ".join(filter(None, (look.kind, look.modality, look.scanner, look.size)))
    shown = Counter(name for name, _ in found.thumbnails)
    if look.thumbnail is not None and len(found.thumbnails) < MAX_THUMBNAILS and shown[what] < 6:
        found.thumbnails.append((what, look.thumbnail))
