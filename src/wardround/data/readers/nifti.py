"""NIfTI images, one file each (``.nii``, ``.nii.gz``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wardround.data.readers.boundary import head_of, refusing
from wardround.data.volume import Volume, VolumeSource, check_count, spacing_of
from wardround.errors import DataError

MAGIC = {344: (b"n+1\0",), 4: (b"n+2\0\r\n\x1a\n",)}
_TO_MM = {"meter": 1000.0, "mm": 1.0, "unknown": 1.0, "micron": 0.001}


def is_nifti(head: bytes, path: Path) -> bool:
    """Whether a file that begins like this is a NIfTI image; packed ones are told by their name."""
    if head[:2] == b"\x1f\x8b":
        return path.name.lower().endswith(".nii.gz")
    return any(head[place : place + len(mark)] == mark for place, marks in MAGIC.items() for mark in marks)


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI image; a fourth axis of length 1 is dropped, RGB voxels become three channels.

    Raises:
        DataError: the file is damaged, has several time points, or voxels that are neither real numbers nor RGB.
    """
    import nibabel

    head_of(path)
    with refusing(str(path), "NIfTI"):
        image = nibabel.Nifti1Image if not _is_second(path) else nibabel.Nifti2Image
        opened = image.from_filename(path, mmap=False)
        shape = tuple(int(edge) for edge in opened.shape)
        check_count(shape, str(path))
        if len(shape) > 3 and any(edge != 1 for edge in shape[3:]):
            raise DataError(f"{path} holds {shape[3]} volumes: save each as a file of its own")
        array = _channelled(np.asanyarray(opened.dataobj), shape, path)
        scale = _TO_MM[opened.header.get_xyzt_units()[0]]
        affine = np.diag([scale, scale, scale, 1.0]) @ np.asarray(opened.affine, dtype=np.float64)
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise DataError(f"{path} does not say where it lies (its affine is degenerate): save it again")
        known = int(opened.header["sform_code"]) > 0 or int(opened.header["qform_code"]) > 0
        zooms = [float(zoom) * scale for zoom in opened.header.get_zooms()[:3]]
    spacing = spacing_of(affine) if known else (*zooms, 0.0, 0.0, 0.0)[:3]
    return Volume(array, spacing, affine if known else None, VolumeSource("NIfTI"))


def _is_second(path: Path) -> bool:
    import gzip

    opener = gzip.open if head_of(path, 2) == b"\x1f\x8b" else open
    with opener(path, "rb") as file:
        return int.from_bytes(file.read(4), "little") in (540, int.from_bytes((540).to_bytes(4, "big"), "little"))


def _channelled(array: np.ndarray, shape: tuple[int, ...], path: Path) -> np.ndarray:
    if array.dtype.names == ("R", "G", "B"):
        array = np.stack([array[name] for name in "RGB"], axis=-1)
    elif array.dtype.kind in "uif":
        array = array[..., None]
    else:
        raise DataError(f"{path} holds voxels of {array.dtype}: save it with real numbers or RGB")
    space = (*shape, 1, 1)[:3]
    return array.reshape(*space, array.shape[-1])
