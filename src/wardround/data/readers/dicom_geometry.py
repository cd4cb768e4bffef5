"""Where the slices of DICOM images lie in the patient (PS3.3, C.7.6.2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wardround.data.readers.dicom_pixels import functional_group
from wardround.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

EVEN = 0.01
"""Largest deviation of a gap between slices from their mean gap, as a share of it."""
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Plane:
    """Where one slice lies; millimetres, in DICOM's axes (x to the left, y to the back, z to the head).

    Attributes:
        position: of the first pixel's centre.
        along_row: unit vector in which the column index grows.
        along_column: unit vector in which the row index grows.
        spacing_mm: between rows, then between columns.
    """

    position: tuple[float, float, float]
    along_row: tuple[float, float, float]
    along_column: tuple[float, float, float]
    spacing_mm: tuple[float, float]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slice."""
        return np.cross(self.along_row, self.along_column)


def planes_of(dataset: Dataset, frames: int) -> list[Plane | None]:
    """Return the plane of each frame; ``None`` where the file does not say."""
    offsets = dataset.get("GridFrameOffsetVector") or []
    if len(offsets) == frames > 1 and (first := _plane(dataset, 0)):
        # C.8.8.3.2: offsets along the normal, counted from the first frame; or positions when the first is not zero.
        steps = np.asarray(offsets, dtype=float) - float(offsets[0])
        return [_moved(first, step) for step in steps]
    return [_plane(dataset, frame) for frame in range(frames)]


def in_plane_spacing(dataset: Dataset) -> tuple[float, float]:
    """Return the spacing of rows and of columns in mm, zeros where the file does not say."""
    found = [
        *(group.get("PixelSpacing") for group in functional_group(dataset, "PixelMeasuresSequence", 0)),
        dataset.get("PixelSpacing"),
        dataset.get("ImagerPixelSpacing"),
    ]
    for spacing in found:
        if spacing is not None and len(numbers := _numbers(spacing, 2)) and min(numbers) > 0:
            return numbers[0], numbers[1]
    return 0.0, 0.0


def stacking_order(planes: Sequence[Plane], name: str) -> list[int]:
    """Return in which order slices are stacked: by their position along their normal, growing.

    Raises:
        DataError: they are not parallel, differ in spacing, two lie at one place, or the gaps between them differ.
    """
    first = planes[0]
    for plane in planes:
        if not np.allclose([plane.along_row, plane.along_column], [first.along_row, first.along_column], atol=1e-3):
            raise DataError(f"{name} holds slices that are not parallel: give one series at a time")
        if not np.allclose(plane.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise DataError(f"{name} holds slices of unlike pixel spacing: give one series at a time")
    depths = np.array([float(np.dot(plane.position, first.normal)) for plane in planes])
    order = np.argsort(depths, kind="stable")
    gaps = np.diff(depths[order])
    if len(gaps) and gaps.min() <= 1e-3:
        raise DataError(f"{name} holds two slices at one place: give one series, and one time or echo, at a time")
    if len(gaps) and np.abs(gaps - gaps.mean()).max() > EVEN * gaps.mean():
        raise DataError(f"{name} lacks a slice, for the gaps between its slices differ: add it or split the series")
    return [int(index) for index in order]


def affine_of(planes: Sequence[Plane], thickness_mm: float) -> np.ndarray:
    """Return the affine of slices that are in their stacking order.

    Args:
        planes: of the slices.
        thickness_mm: taken as the distance between slices where there is only one; 1 mm if it is not positive.

    Returns:
        float64 ``(4, 4)`` from (row, column, slice) to RAS+ millimetres.
    """
    first, last = planes[0], planes[-1]
    if len(planes) > 1:
        step = (np.asarray(last.position) - np.asarray(first.position)) / (len(planes) - 1)
    else:
        step = first.normal * (thickness_mm if thickness_mm > 0 else 1.0)
    affine = np.eye(4)
    affine[:3, 0] = np.asarray(first.along_column) * first.spacing_mm[0]
    affine[:3, 1] = np.asarray(first.along_row) * first.spacing_mm[1]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return np.asarray(_TO_RAS @ affine)


def _plane(dataset: Dataset, frame: int) -> Plane | None:
    position = _first(dataset, "PlanePositionSequence", "ImagePositionPatient", frame)
    direction = _first(dataset, "PlaneOrientationSequence", "ImageOrientationPatient", frame)
    spacing = in_plane_spacing(dataset)
    if position is None or direction is None or not all(spacing):
        return None
    where, turn = _numbers(position, 3), _numbers(direction, 6)
    if not where or not turn:
        return None
    vectors = np.array(turn).reshape(2, 3)
    if not np.allclose(vectors @ vectors.T, np.eye(2), atol=1e-2):
        return None
    row, column = vectors
    return Plane(tuple(where), tuple(row.tolist()), tuple(column.tolist()), spacing)  # type: ignore[arg-type]


def _moved(plane: Plane, step_mm: float) -> Plane:
    place = np.asarray(plane.position) + plane.normal * step_mm
    return Plane(tuple(place.tolist()), plane.along_row, plane.along_column, plane.spacing_mm)


def _first(dataset: Dataset, group: str, keyword: str, frame: int) -> Any:
    own = [item.get(keyword) for item in functional_group(dataset, group, frame)]
    return own[0] if own else dataset.get(keyword)


def _numbers(values: Any, count: int) -> list[float]:
    """Return `count` finite numbers, or none."""
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        return []
    return found if len(found) == count and np.isfinite(found).all() else []
