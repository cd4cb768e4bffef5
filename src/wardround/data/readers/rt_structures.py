"""RT structure sets: contours become masks on the grid of the images that they were drawn on (PS3.3, C.8.8.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wardround.data.readers.boundary import refusing
from wardround.data.readers.dicom_header import open_header, text_of
from wardround.data.volume import Volume
from wardround.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
CONTOUR_DATA = 0x30060050
MAX_POINTS = 5_000_000


@dataclass(frozen=True)
class Region:
    """One region of interest on an image's grid.

    Attributes:
        name: as the file calls it; stays at the site.
        number: of the region in the file.
        mask: bool ``(rows, columns, slices)``; ``None`` if no closed contour lies on a slice that is present.
        drawn: contours that lie on slices that are present.
        absent: contours whose slice is not among the image's.
        not_closed: contours that enclose nothing (points and open lines).
    """

    name: str
    number: int
    mask: np.ndarray | None
    drawn: int
    absent: int
    not_closed: int


def read_regions(path: Path, image: Volume) -> tuple[Region, ...]:
    """Read a structure set's regions on the grid of `image`, in the order of the file.

    A pixel belongs to a region when its centre lies inside an odd number of the region's contours on that slice: holes
    drawn as contours of their own, and holes joined to the outline by a keyhole, both come out empty, and separate
    islands both come out full.

    Args:
        path: of the RTSTRUCT file.
        image: read from DICOM, so that it knows its slices and its frame of reference.

    Raises:
        DataError: the file is no structure set, is damaged, or was drawn in another frame of reference.
    """
    if image.affine is None or not image.source.instances:
        raise DataError(f"{path} needs a DICOM image that says where its slices lie: name the one it was drawn on")
    with refusing(str(path), "RT structure set"):
        dataset, _ = open_header(path)
        if text_of(dataset, "Modality") != "RTSTRUCT":
            raise DataError(f"{path} is no RT structure set but {text_of(dataset, 'Modality') or 'another object'}")
        contours = {int(item.ReferencedROINumber): item for item in dataset.get("ROIContourSequence") or []}
        return tuple(
            _region(item, contours.get(int(item.ROINumber)), image, path)
            for item in dataset.get("StructureSetROISequence") or []
        )


def region_named(regions: Sequence[Region], name: str, path: Path) -> np.ndarray:
    """Return the mask of the region called `name`.

    Raises:
        DataError: there is none of that name, several, or it has no contour on the image's slices.
    """
    found = [region for region in regions if region.name == name]
    if len(found) != 1:
        raise DataError(f"{path} has {len(found)} regions called {name!r}; it needs one")
    if found[0].mask is None:
        raise DataError(f"{path}: region {name!r} has no closed contour on a slice that is here: add the slices")
    return found[0].mask


def _region(item: Dataset, drawn: Dataset | None, image: Volume, path: Path) -> Region:
    frame = str(item.get("ReferencedFrameOfReferenceUID") or "")
    if frame != image.source.frame_of_reference:
        raise DataError(
            f"{path}: region {item.ROINumber} was drawn in another frame of reference than the image's: name the image "
            "that it was drawn on"
        )
    outlines, absent, not_closed = [], 0, 0
    for contour in (drawn.get("ContourSequence") if drawn is not None else None) or []:
        if str(contour.get("ContourGeometricType")) not in CLOSED:
            not_closed += 1
            continue
        points = _indices(contour, image)
        place = _slice_of(contour, points, image)
        if place is None:
            absent += 1
        else:
            outlines.append((place, points[:, :2]))
    mask = rasterise(outlines, image.array.shape[:3]) if outlines else None
    return Region(str(item.get("ROIName") or ""), int(item.ROINumber), mask, len(outlines), absent, not_closed)


def _indices(contour: Dataset, image: Volume) -> np.ndarray:
    """Return a contour's points as fractional (row, column, slice) indices, float64 ``(P, 3)``."""
    points = _coordinates(contour).reshape(-1, 3)
    if len(points) > MAX_POINTS or not np.isfinite(points).all():
        raise DataError("a contour has too many points, or one that is not finite: export the structure set again")
    assert image.affine is not None  # noqa: S101  # read_regions refused it
    to_index = np.linalg.inv(image.affine)
    return (points * [-1, -1, 1]) @ to_index[:3, :3].T + to_index[:3, 3]


def _coordinates(contour: Dataset) -> np.ndarray:
    raw = contour.get_item(CONTOUR_DATA).value
    if isinstance(raw, bytes):  # as read, and hundreds of times faster than pydicom's number type
        return np.array(raw.strip(b" \0").split(b"\\"), dtype=np.float64)
    return np.asarray(contour.ContourData, dtype=np.float64)


def _slice_of(contour: Dataset, points: np.ndarray, image: Volume) -> int | None:
    """Return the slice that a contour was drawn on, ``None`` if it is not there.

    The contour's own reference decides, as long as its points lie in that slice; without one, the nearest slice within
    half a step does.
    """
    depths = points[:, 2]
    if not len(points) or np.ptp(depths) > 0.5:
        raise DataError("a contour does not lie in one slice of the image: export the structure set for this series")
    nearest = int(np.rint(depths.mean()))
    named = [str(item.get("ReferencedSOPInstanceUID")) for item in contour.get("ContourImageSequence") or []]
    if named and not set(named) & set(image.source.instances):
        return None
    if 0 <= nearest < image.slices and abs(depths.mean() - nearest) <= 0.5:
        return nearest
    return None


def rasterise(outlines: Sequence[tuple[int, np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
    """Fill outlines by the even-odd rule.

    Args:
        outlines: slice, and float ``(P, 2)`` corners as (row, column) indices; pixel centres have whole indices.
        shape: rows, columns, slices.

    Returns:
        bool `shape`.
    """
    rows, columns, slices = shape
    crossings = np.zeros((rows, columns + 1, slices), dtype=np.uint8)
    for place, corners in outlines:
        first, second = corners, np.roll(corners, -1, axis=0)
        lower = np.clip(np.ceil(np.minimum(first[:, 0], second[:, 0])), 0, rows).astype(np.int64)
        upper = np.clip(np.ceil(np.maximum(first[:, 0], second[:, 0])), 0, rows).astype(np.int64)
        counts = upper - lower  # rows that the edge crosses, its lower end counted and its upper end not
        edge = np.repeat(np.arange(len(corners)), counts)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + lower[edge]
        share = (row - first[edge, 0]) / (second[edge, 0] - first[edge, 0])
        column = first[edge, 1] + share * (second[edge, 1] - first[edge, 1])
        start = np.clip(np.ceil(column), 0, columns).astype(np.int64)
        np.bitwise_xor.at(crossings, (row, start, np.full(len(row), place)), 1)
    return np.bitwise_xor.accumulate(crossings, axis=1)[:, :columns].astype(bool)
