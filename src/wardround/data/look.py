"""One look at one file: what an inspection counts, and nothing that identifies a patient."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wardround.data.readers import reader_of
from wardround.data.readers.boundary import refusing
from wardround.data.readers.dicom import stacked
from wardround.data.readers.dicom_header import open_header, text_of
from wardround.data.readers.dicom_pixels import frames_of
from wardround.data.readers.nifti import left_behind as left_by_nifti
from wardround.data.readers.picture import left_behind as left_by_picture
from wardround.data.volume import Volume, spacing_of
from wardround.errors import DataError

THUMBNAIL_PX = 64
COARSE_PX, FINE_PX = 8, 16


@dataclass(frozen=True)
class Look:
    """What one file is.

    Attributes:
        kind: its format; for DICOM objects without pixels their modality, such as ``"RTSTRUCT"``.
        refused: why it cannot be used, with the file's path; ``""`` if it can.
        modality: of a DICOM image.
        scanner: manufacturer and model.
        size: rows, columns and slices as text; ``""`` without pixels.
        spacing: rows, columns and slices in mm as text; ``""`` if the file does not say.
        patient: the site's own pseudonym of the patient in the header.
        burned_in: see `VolumeSource`; ``""`` without pixels.
        likeness: coarse and fine perceptual hash of the middle slice, zeros for a blank one.
        removed: what was taken out of the header, or is left behind by reading pixels alone: name -> times.
        thumbnail: uint8 ``(64, 64, C)`` of the middle slice; ``None`` without pixels, or if none is wanted.
    """

    kind: str
    refused: str = ""
    modality: str = ""
    scanner: str = ""
    size: str = ""
    spacing: str = ""
    patient: str = ""
    burned_in: str = ""
    likeness: tuple[int, int] = (0, 0)
    removed: Counter[str] = field(default_factory=Counter)
    thumbnail: np.ndarray | None = None


def look_at(path: Path) -> Look:
    """Look at a file; one that cannot be read is said to be refused, and nothing is raised."""
    kind = "other"
    try:
        reader = reader_of(path)
        kind = reader.name
        if kind == "DICOM":
            return _dicom(path)
        image = reader.read(path)
        removed = left_by_nifti(path) if kind == "NIfTI" else left_by_picture(path)
        return _image(image, removed)
    except DataError as error:
        return Look(kind, refused=str(error))


def perceptual_hash(grey: np.ndarray, size_px: int = FINE_PX) -> int:
    """Return bits that hardly change when a picture is scaled, brightened or compressed: dHash (Krawetz 2013).

    Args:
        grey: uint8 ``(rows, columns)``.
        size_px: edge of the grid.

    Returns:
        One bit for each place of the grid: whether it is brighter than its left neighbour; 0 for a blank picture.
    """
    from PIL import Image

    small = Image.fromarray(grey).resize((size_px + 1, size_px), Image.Resampling.BILINEAR)
    values = np.asarray(small, dtype=np.int16)
    bits = np.packbits(values[:, 1:] > values[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def _dicom(path: Path) -> Look:
    with refusing(str(path), "DICOM"):
        dataset, removed = open_header(path)
        if "Rows" not in dataset:
            return Look(text_of(dataset, "Modality") or "DICOM without pixels", removed=removed)
        return _image(stacked([dataset], [frames_of(dataset, str(path))], str(path)), removed)


def _image(image: Volume, removed: Counter[str]) -> Look:
    shown = _thumbnail(image)
    grey = shown[..., 0] if shown.shape[2] == 1 else shown.mean(axis=2).astype(np.uint8)
    spacing = image.spacing_mm if image.affine is None else spacing_of(image.affine)
    return Look(
        kind=image.source.format,
        modality=image.source.modality,
        scanner=image.source.scanner,
        size=" x ".join(map(str, image.array.shape[:3])),
        spacing=" x ".join(f"{step:.3g}" for step in spacing if step),
        patient=image.source.patient,
        burned_in=image.source.burned_in,
        likeness=(perceptual_hash(grey, COARSE_PX), perceptual_hash(grey, FINE_PX)),
        removed=removed,
        thumbnail=shown,
    )


def _thumbnail(image: Volume) -> np.ndarray:
    from PIL import Image

    middle = image.array[:, :, image.slices // 2]
    if middle.dtype != np.uint8:
        values = np.nan_to_num(middle.astype(np.float32), posinf=0, neginf=0)
        low, high = np.percentile(values, (1, 99))
        middle = (np.clip((values - low) / max(float(high - low), 1e-6), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(middle if middle.shape[2] == 3 else middle[..., 0])
    small = np.asarray(picture.resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR))
    return small.reshape(THUMBNAIL_PX, THUMBNAIL_PX, -1)
