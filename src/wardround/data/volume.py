"""One image, whatever file it came from: an array, where it lies in the patient, and what is known of its making."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.errors import DataError

MAX_VALUES = 2**28
"""Largest number of values of one image: 1024 slices of 512 x 512. Whatever claims more is refused before decoding."""


@dataclass(frozen=True)
class VolumeSource:
    """What is known of an image's making, with nothing in it that identifies a patient.

    Attributes:
        format: ``"DICOM"``, ``"NIfTI"``, ``"PNG"``, ``"JPEG"`` or ``"TIFF"``.
        modality: the DICOM modality (``"CT"``, ``"MR"``, …), ``""`` if the file does not say.
        scanner: manufacturer and model, ``""`` if the file does not say.
        units: of the values: ``"HU"``, ``"Gy"`` or ``""``.
        window: centre and width that the file recommends for display, in its units.
        patient: the site's own pseudonym of the patient, ``""`` if the file names none.
        frame_of_reference: replaced UID of the coordinate system; ``""`` if the file has none.
        instances: replaced UID of each slice, in the order of the array; empty for files other than DICOM.
        burned_in: what the file says of text burnt into its pixels: ``"no"``, or ``"unsaid"``. A yes is refused.
    """

    format: str
    modality: str = ""
    scanner: str = ""
    units: str = ""
    window: tuple[float, float] | None = None
    patient: str = ""
    frame_of_reference: str = ""
    instances: tuple[str, ...] = ()
    burned_in: str = "no"


@dataclass(frozen=True, eq=False)
class Volume:
    """An image with one slice or more.

    Attributes:
        array: ``(rows, columns, slices, channels)``; real numbers after the file's own rescaling; 1 channel or 3 (RGB).
        spacing_mm: distance between neighbours along the first three axes; 0 where the file does not say.
        affine: float64 ``(4, 4)``, from indices along the first three axes to millimetres in the patient, where x grows
            to the right, y to the front and z to the head (RAS+, as in NIfTI); ``None`` if the file does not say.
        source: how the image was made.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float]
    affine: np.ndarray | None
    source: VolumeSource

    def __post_init__(self) -> None:
        """Refuse what is no image.

        Raises:
            DataError: the array has another number of axes, no value, other channels, or other than real numbers.
        """
        shape, kind = self.array.shape, self.array.dtype.kind
        if self.array.ndim != 4 or shape[3] not in (1, 3) or 0 in shape or kind not in "uif":
            raise DataError(f"an image of {self.array.dtype} {shape} cannot be used: give grey or RGB numbers")

    @property
    def orientation(self) -> str:
        """Where the first three axes point, one letter each of R/L, A/P and S/I; ``""`` if unknown."""
        if self.affine is None:
            return ""
        from nibabel.orientations import aff2axcodes

        return "".join(code or "?" for code in aff2axcodes(self.affine))

    @property
    def slices(self) -> int:
        """Number of slices."""
        return int(self.array.shape[2])


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Return the lengths of an affine's first three columns, in mm."""
    first, second, third = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return first, second, third


def check_count(shape: tuple[int, ...], name: str) -> None:
    """Refuse a size before anything is decoded.

    Args:
        shape: what a header claims.
        name: how errors call the file.

    Raises:
        DataError: an edge is not positive, or there are more than `MAX_VALUES` values.
    """
    total = 1
    for edge in shape:
        total *= int(edge)
    if min(shape, default=0) < 1:
        raise DataError(f"{name} has no pixels ({' x '.join(map(str, shape))}): replace or remove it")
    if total > MAX_VALUES:
        raise DataError(f"{name} claims {total} values, more than {MAX_VALUES}: cut it into smaller files")
