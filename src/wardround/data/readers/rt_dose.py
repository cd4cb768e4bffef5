"""RT doses in gray, on their own grid or on an image's (PS3.3, C.8.8.3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from wardround.data.readers.boundary import refusing
from wardround.data.readers.dicom import stacked
from wardround.data.readers.dicom_header import open_header, text_of
from wardround.data.readers.dicom_pixels import frames_of
from wardround.data.volume import Volume
from wardround.errors import DataError


def read_dose(path: Path) -> Volume:
    """Read a dose on its own grid, in Gy, float32.

    Raises:
        DataError: the file is no dose, is damaged, or gives its dose in other units than gray.
    """
    with refusing(str(path), "RT dose"):
        dataset, _ = open_header(path)
        if text_of(dataset, "Modality") != "RTDOSE":
            raise DataError(f"{path} is no RT dose but {text_of(dataset, 'Modality') or 'another object'}")
        if (units := text_of(dataset, "DoseUnits").upper()) != "GY":
            raise DataError(f"{path} gives its dose in {units or 'unknown units'}: export it in GY")
        scaling = float(dataset.DoseGridScaling)
        if not np.isfinite(scaling) or scaling <= 0:
            raise DataError(f"{path} scales its dose by {scaling}: export it again")
        frames = frames_of(dataset, str(path))
        dataset.pop("PixelData", None)
        volume = stacked([dataset], [(frames * scaling).astype(np.float32)], str(path))
    return replace(volume, source=replace(volume.source, units="Gy", window=None))


def dose_on(path: Path, image: Volume) -> np.ndarray:
    """Return a dose on the grid of `image`, by trilinear interpolation; 0 outside the dose's own grid.

    Returns:
        float32 ``(rows, columns, slices)``, in Gy.

    Raises:
        DataError: see `read_dose`; or dose and image do not share a frame of reference.
    """
    from scipy.ndimage import map_coordinates

    dose = read_dose(path)
    if dose.affine is None or image.affine is None:
        raise DataError(f"{path} or its image does not say where it lies: they cannot be laid on each other")
    if dose.source.frame_of_reference != image.source.frame_of_reference:
        raise DataError(f"{path} was computed in another frame of reference than the image's: name the planning image")
    between = np.linalg.inv(dose.affine) @ image.affine
    rows, columns, slices = image.array.shape[:3]
    result = np.empty((rows, columns, slices), dtype=np.float32)
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    for index in range(slices):  # one slice at a time keeps the coordinates small
        points = np.stack([row, column, np.full_like(row, index), np.ones_like(row)]).reshape(4, -1)
        where = (between @ points)[:3]
        result[..., index] = map_coordinates(dose.array[..., 0], where, order=1, cval=0.0).reshape(rows, columns)
    return result
