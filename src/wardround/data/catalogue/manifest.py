"""A folder of images with a CSV table that names them: how a hospital brings data of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from wardround.data.cache import fingerprint
from wardround.data.catalogue.base import find
from wardround.data.catalogue.table import Row, read_table
from wardround.data.decode import check_size
from wardround.data.harmonise import Harmonise, Plane, mask_square, plane_of, square
from wardround.data.images import LabelledImages
from wardround.data.intensity import AnyIntensity, AsStored
from wardround.data.masks import Masks
from wardround.data.prepare import Decoding, Prepared, prepared
from wardround.data.readers import read_volume
from wardround.data.readers.boundary import head_of
from wardround.data.readers.dicom_header import is_dicom
from wardround.data.readers.rt_structures import read_regions, region_named
from wardround.data.volume import Volume
from wardround.errors import DataError, PlanError

REGIONS = ("outside", "inside")
_SPACING_BYTES = 16
BURNT_IN_UNSAID = "images do not say whether text is burnt into their pixels: look at them before they are used"


@dataclass(frozen=True)
class Manifest:
    """A folder with a table of the columns image, label, site, patient and, optionally, part, frame, mask and region.

    Attributes:
        path: the folder; empty takes the data root itself.
        table: name of the CSV file in the folder; UTF-8, first line the column names.
        size_px: edge of the square that each image is scaled to.
        channels: 1 (grey) or 3 (colour); other images are converted.
        classes: the labels in the order of the network's outputs; empty takes those of the table, sorted.
        malignant: the labels that count as malignant.
        unreadable_share: largest share of images that may be left out because they cannot be read; 0 refuses the first.
        harmonise: geometry (``[data.harmonise]``).
        intensity: how values become grey levels (``[data.intensity]``).
    """

    public: ClassVar[bool] = False

    path: str = ""
    table: str = "manifest.csv"
    size_px: int = 32
    channels: int = 3
    classes: tuple[str, ...] = ()
    malignant: tuple[str, ...] = ()
    unreadable_share: float = 0.0
    harmonise: Harmonise = field(default_factory=Harmonise)
    intensity: AnyIntensity = field(default_factory=AsStored)

    def __post_init__(self) -> None:
        """Refuse sizes that no network can use.

        Raises:
            PlanError: `size_px`, `channels` or `unreadable_share` is out of range.
        """
        check_size(self.size_px, self.channels)
        if not 0 <= self.unreadable_share < 1:
            raise PlanError(f"data.unreadable_share is {self.unreadable_share}; give 0 or more and less than 1")

    def load(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the images in the order of the table; patients are groups.

        Raises:
            DataError: the table or an image is absent, damaged, outside the folder or contradicts the rest.
        """
        folder = find(self.path or ".", root, (), "the manifest")
        rows = read_table(folder, self.table)
        classes = self._classes(rows, folder / self.table)
        pixels = self.prepared(rows, folder / self.table, how)
        kept = [index for index in range(len(rows)) if index not in pixels.refused]
        return LabelledImages(
            pixels=pixels.pixels,
            rows=np.array(kept, dtype=np.int64),
            labels=np.array([classes.index(rows[index].label) for index in kept], dtype=np.int64),
            origins=np.array([rows[index].site for index in kept], dtype=np.str_),
            groups=np.array([rows[index].patient for index in kept], dtype=np.str_),
            classes=classes,
            malignant=self.malignant,
            parts=np.array([rows[index].part for index in kept], dtype=np.str_),
            public=self.public,
        )

    def load_masked(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the images with what lies inside of their masks, and the spacing of their pixels where they say it.

        Raises:
            PlanError: the plan shows the mask to the network already.
            DataError: as for `load`, or a line names no mask, or one that cannot be used.
        """
        if self.harmonise.outside_mask != "keep":
            raise PlanError(
                f'data.harmonise.outside_mask = "{self.harmonise.outside_mask}" shows a network the mask that it shall '
                'find: set it to "keep"'
            )
        images = self.load(root, how)
        folder = find(self.path or ".", root, (), "the manifest")
        rows = read_table(folder, self.table)
        decoder = _Insides(self, tuple(rows), folder / self.table)
        made = prepared(
            self._key("manifest masks", rows),
            (len(rows), 1, 1, self.size_px**2 + _SPACING_BYTES),
            decoder,
            how,
            self.unreadable_share,
            decoder.may_end_its_process,
        )
        kept = ~np.isin(images.rows, list(made.refused))
        records = made.pixels.reshape(len(rows), -1)
        masks = records[:, : self.size_px**2].reshape(len(rows), self.size_px, self.size_px)
        spacing_mm = np.frombuffer(records[:, self.size_px**2 :].tobytes(), "<f8").reshape(len(rows), 2)
        return replace(images.take(kept), masks=Masks(masks, REGIONS, spacing_mm))

    def prepared(self, rows: list[Row], table: Path, how: Decoding | None) -> Prepared:
        """Return the harmonised pixels of all rows; see `prepare.prepared`."""
        decoder = _Rows(self, tuple(rows), table)
        shape = (len(rows), self.size_px, self.size_px, self.channels)
        key = self._key("manifest", rows)
        return prepared(key, shape, decoder, how, self.unreadable_share, decoder.may_end_its_process)

    def _key(self, what: str, rows: list[Row]) -> dict[str, str | int]:
        return {
            "source": what,
            "files": fingerprint(file for row in rows for file in _files_of(row)),
            "rows": _choices(rows),
            "steps": json.dumps([asdict(self.harmonise), type(self.intensity).__name__, asdict(self.intensity)]),
            "size_px": self.size_px,
            "channels": self.channels,
        }

    def inside(self, row: Row) -> tuple[np.ndarray, tuple[float, float]]:
        """Return the mask of a row, and its spacing; see `harmonise.mask_square`.

        Raises:
            DataError: there is none, or it cannot be used.
        """
        if not row.mask:
            raise DataError(f"{row.image} has no mask: name one in the column mask, or remove the line")
        image = self._read(row.file, row)
        mask = _mask(Path(row.mask), row.region, image)
        return mask_square(image, mask, row.frame, self.harmonise, self.size_px, row.image)

    def _read(self, file: Path, row: Row | None) -> Volume:
        return _last_read(file, fingerprint(_files_of(row))) if row and row.frame is not None else read_volume(file)

    def picture(self, file: Path, row: Row | None = None) -> np.ndarray:
        """Return one image as this source feeds it to a network.

        Args:
            file: of the image.
            row: which frame, mask and region; ``None`` takes the only frame, and no mask.

        Returns:
            uint8 ``(size_px, size_px, channels)``.

        Raises:
            DataError: the image cannot be used.
        """
        return self.squared(self.plane(file, row), file)

    def squared(self, plane: Plane, file: Path) -> np.ndarray:
        """Return a slice of `file` in grey levels and to size; see `picture`.

        Raises:
            DataError: the image's values do not suit the plan's intensity.
        """
        return square(plane, self.intensity, self.size_px, self.channels, str(file))

    def plane(self, file: Path, row: Row | None = None) -> Plane:
        """Return the slice that `picture` makes grey levels of; see there.

        Raises:
            DataError: the image cannot be used.
        """
        image = self._read(file, row)
        mask, frame = None, row.frame if row is not None else None
        if self.harmonise.outside_mask != "keep":
            if row is None or not row.mask:
                raise DataError(f"{file} has no mask, and data.harmonise.outside_mask asks for one: set it to keep")
            mask = _mask(Path(row.mask), row.region, image)
        return plane_of(image, mask, frame, self.harmonise, str(file))

    def _classes(self, rows: list[Row], table: Path) -> tuple[str, ...]:
        found = {row.label for row in rows}
        classes = self.classes or tuple(sorted(found))
        for row in rows:
            if row.label not in classes:
                raise DataError(
                    f"{table}, line {row.line}: label {row.label!r} is none of the declared classes "
                    f"{', '.join(classes)}"
                )
        if empty := [name for name in classes if name not in found]:
            raise DataError(f"class {empty[0]!r} has no image in {table}: add some or take it out of data.classes")
        if strange := [name for name in self.malignant if name not in classes]:
            raise DataError(f"data.malignant names {strange[0]!r}, which is no class; choose from {', '.join(classes)}")
        return classes


@dataclass(frozen=True)
class _Rows:
    """Decodes the rows of a table; see `prepare.Decoder`."""

    source: Manifest
    rows: tuple[Row, ...]
    table: Path

    def may_end_its_process(self) -> bool:
        """Whether an image may reach a DICOM decoder, some of which end their process on damaged frames."""
        return any(_is_dicom(row.file) for row in self.rows)

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        found = self.rows[row]
        try:
            plane = self.source.plane(found.file, found)
            note = BURNT_IN_UNSAID if plane.source.burned_in == "unsaid" else ""
            return self.source.squared(plane, found.file), note
        except DataError as error:
            raise DataError(f"{self.table}, line {found.line}: {error}") from None

    def name(self, row: int) -> str:
        return f"{self.table}, line {self.rows[row].line}: {self.rows[row].image}"


@dataclass(frozen=True)
class _Insides(_Rows):
    """Decodes the masks of a table: one record for each, the mask and then two float64 in bytes, its spacing."""

    def __call__(self, row: int) -> tuple[np.ndarray, str]:
        found = self.rows[row]
        try:
            mask, spacing_mm = self.source.inside(found)
        except DataError as error:
            raise DataError(f"{self.table}, line {found.line}: {error}") from None
        record = mask.tobytes() + np.array(spacing_mm, "<f8").tobytes()
        return np.frombuffer(record, np.uint8).reshape(1, 1, -1), ""


def _is_dicom(file: Path) -> bool:
    if file.is_dir():
        return True
    try:
        with file.open("rb") as opened:
            return is_dicom(opened.read(132))
    except OSError:  # its reader says why
        return False


def _choices(rows: list[Row]) -> str:
    """Return a text that differs where rows choose other frames or regions."""
    chosen = [(index, row.frame, row.region) for index, row in enumerate(rows) if row.frame is not None or row.region]
    return json.dumps(chosen)


@lru_cache(maxsize=1)
def _last_read(file: Path, seen: str) -> Volume:
    """Return the image of `file`, kept for its next frame; `seen` tells whether it changed."""
    return read_volume(file)


def _files_of(row: Row) -> Iterator[Path]:
    if row.file.is_dir():
        yield from sorted(path for path in row.file.iterdir() if path.is_file())
    else:
        yield row.file
    if row.mask:
        yield Path(row.mask)


def _mask(file: Path, region: str, image: Volume) -> Volume:
    if not is_dicom(head_of(file)):
        return read_volume(file)
    if not region:
        raise DataError(f"{file} is a DICOM mask, but no region is named: name one of its regions in the column region")
    inside = region_named(read_regions(file, image), region, file)
    return replace(image, array=inside[..., None].astype(np.uint8))
