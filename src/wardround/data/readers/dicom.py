"""DICOM images: one file, or the files of a series stacked by position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wardround.data.readers.boundary import head_of, refusing
from wardround.data.readers.dicom_geometry import Plane, affine_of, in_plane_spacing, planes_of, stacking_order
from wardround.data.readers.dicom_header import burned_in_of, is_dicom, open_header, scanner_of, text_of
from wardround.data.readers.dicom_pixels import frames_of, window_of
from wardround.data.volume import Volume, VolumeSource, check_count, spacing_of
from wardround.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_SLICES = 4096


def read_dicom(path: Path) -> Volume:
    """Read one DICOM file; frames of a multi-frame image become slices, in the order of their positions.

    Raises:
        DataError: the file is damaged, holds no image, or its frames are not evenly spaced.
    """
    return _volume([path], str(path))


def read_series(folder: Path) -> Volume:
    """Read the DICOM images of one series that lie in `folder`, whatever their names; other files are ignored.

    Raises:
        DataError: there is no image, or those that are there do not belong to one series of evenly spaced slices.
    """
    base = folder.resolve()
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and path.resolve().is_relative_to(base)]
    images = [path for path in found if path.stat().st_size and is_dicom(head_of(path, 132)) and has_pixels(path)]
    if not images:
        raise DataError(f"{folder} holds no DICOM image: name a folder with the files of one series")
    if len(images) > MAX_SLICES:
        raise DataError(f"{folder} holds more than {MAX_SLICES} images: give one series at a time")
    return _volume(images, str(folder))


def has_pixels(path: Path) -> bool:
    """Whether a DICOM file is an image on whose grid others may lie: it has rows, and is no dose."""
    with refusing(str(path), "DICOM"):
        dataset, _ = open_header(path, pixels=False)
        return "Rows" in dataset and dataset.get("Modality") != "RTDOSE"


def stacked(headers: Sequence[Dataset], arrays: Sequence[np.ndarray], name: str) -> Volume:
    """Stack the frames of files of one series.

    Args:
        headers: de-identified, one for each file.
        arrays: ``(frames, rows, columns, channels)`` for each file.
        name: how errors call them.

    Raises:
        DataError: they do not fit together.
    """
    first = headers[0]
    if len({text_of(header, "SeriesInstanceUID") for header in headers}) > 1:
        raise DataError(f"{name} holds several series: give each a folder of its own")
    if len({(array.shape[1:], array.dtype) for array in arrays}) > 1:
        raise DataError(f"{name} holds slices of unlike size or kind: give one series at a time")
    counts = [len(array) for array in arrays]
    planes = [plane for header, count in zip(headers, counts, strict=True) for plane in planes_of(header, count)]
    instances = np.repeat([text_of(header, "SOPInstanceUID") for header in headers], counts)
    frames = np.concatenate(arrays)
    placed = [plane for plane in planes if plane is not None]
    affine = None
    if len(placed) == len(planes) and not _same_place(placed):
        order = stacking_order(placed, name)
        frames, instances = frames[order], instances[order]
        affine = affine_of([placed[index] for index in order], _thickness(first))
    elif len(headers) > 1:
        raise DataError(f"{name} holds files that do not say where their slices lie: give them as images of their own")
    spacing = (*in_plane_spacing(first), 0.0) if affine is None else spacing_of(affine)
    return Volume(np.moveaxis(frames, 0, 2), spacing, affine, _source(first, instances))


def _volume(paths: Sequence[Path], name: str) -> Volume:
    headers, arrays = [], []
    for path in paths:
        dataset, _ = open_header(path)
        with refusing(str(path), "DICOM"):
            arrays.append(frames_of(dataset, str(path)))
            check_count((len(paths), *arrays[0].shape), name)
        for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
            dataset.pop(keyword, None)
        headers.append(dataset)
    with refusing(name, "DICOM"):
        return stacked(headers, arrays, name)


def _same_place(planes: Sequence[Plane]) -> bool:
    """Whether several frames show one place at several times; their order is then that of the file."""
    return len(planes) > 1 and len({plane.position for plane in planes}) == 1


def _thickness(dataset: Dataset) -> float:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        if (value := dataset.get(keyword)) is not None and float(value) > 0:
            return float(value)
    return 0.0


def _source(dataset: Dataset, instances: np.ndarray) -> VolumeSource:
    modality = text_of(dataset, "Modality")
    return VolumeSource(
        format="DICOM",
        modality=modality,
        scanner=scanner_of(dataset),
        units="HU" if modality == "CT" else text_of(dataset, "RescaleType"),
        window=window_of(dataset),
        patient=text_of(dataset, "PatientID"),
        frame_of_reference=text_of(dataset, "FrameOfReferenceUID"),
        instances=tuple(instances.tolist()),
        burned_in=burned_in_of(dataset),
    )
