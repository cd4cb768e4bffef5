"""NIfTI images, one file each (``.nii``, ``.nii.gz``)."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wardround.data.readers.boundary import head_of, refusing
from wardround.data.volume import Volume, VolumeSource, check_count, spacing_of
from wardround.errors import DataError

MAGIC = {344: (b"n+1\0",), 4: (b"n+2\0\r\n\x1a\n",)}
HEAD_BYTES = 544
MAX_EXTENSION_BYTES = 2**24
_TO_MM = {"meter": 1000.0, "mm": 1.0, "unknown": 1.0, "micron": 0.001}


def is_nifti(head: bytes) -> bool:
    """Whether a file that begins like this is a NIfTI image, plain or packed by gzip."""
    if head[:2] == b"\x1f\x8b":
        head = _unpacked(head)
    return any(head[place : place + len(mark)] == mark for place, marks in MAGIC.items() for mark in marks)


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI image; a fourth axis of length 1 is dropped, RGB voxels become three channels.

    Raises:
        DataError: the file is damaged, has several time points, or voxels that are neither real numbers nor RGB.
    """
    with refusing(str(path), "NIfTI"), _opened(path) as opened:
        shape = tuple(int(edge) for edge in opened.shape)
        if len(shape) > 3 and any(edge != 1 for edge in shape[3:]):
            raise DataError(f"{path} has {len(shape)} axes, {' x '.join(map(str, shape))}: save each volume as a file")
        array = _channelled(np.asanyarray(opened.dataobj), shape, path)
        scale = _TO_MM[opened.header.get_xyzt_units()[0]]
        affine = np.diag([scale, scale, scale, 1.0]) @ np.asarray(opened.affine, dtype=np.float64)
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise DataError(f"{path} does not say where it lies (its affine is degenerate): save it again")
        known = int(opened.header["sform_code"]) > 0 or int(opened.header["qform_code"]) > 0
    # Without a code the affine is the header's voxel sizes, and its directions mean nothing.
    return Volume(array, spacing_of(affine), affine if known else None, VolumeSource("NIfTI"))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an image whose header claims no more than may be read; its voxels wait until they are asked for."""
    import nibabel

    head = head_of(path)
    packed = head[:2] == b"\x1f\x8b"
    block = _unpacked(head) if packed else head
    second = any(block[4:].startswith(mark) for mark in MAGIC[4])
    image = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    header = image.header_class(block[: image.header_class.sizeof_hdr], check=False)
    check_count(tuple(int(edge) for edge in header.get_data_shape()), str(path))
    if not 0 <= float(header["vox_offset"]) <= MAX_EXTENSION_BYTES:
        raise DataError(f"{path} claims more than {MAX_EXTENSION_BYTES} bytes of header extensions: save it again")
    with gzip.open(path) if packed else path.open("rb") as file:
        yield image.from_stream(file)


def _unpacked(head: bytes) -> bytes:
    """Return the first bytes inside a gzip file, as far as `head` has them; none if it is damaged."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _channelled(array: np.ndarray, shape: tuple[int, ...], path: Path) -> np.ndarray:
    if array.dtype.names == ("R", "G", "B"):
        array = np.stack([array[name] for name in "RGB"], axis=-1)
    elif array.dtype.kind in "uif":
        array = array[..., None]
    else:
        raise DataError(f"{path} holds voxels of {array.dtype}: save it with real numbers or RGB")
    space = (*shape, 1, 1)[:3]
    return array.reshape(*space, array.shape[-1])


def left_behind(path: Path) -> Counter[str]:
    """Return which texts a NIfTI header carries, none of which is read: name -> 1, and the number of extensions."""
    found: Counter[str] = Counter()
    with refusing(str(path), "NIfTI"), _opened(path) as opened:
        header = opened.header
        for name in ("descrip", "aux_file", "db_name", "intent_name"):
            if name in header:
                found[f"NIfTI {name}"] = int(bool(bytes(header[name].tobytes()).strip(b"\0 ")))
        found["NIfTI extensions"] = len(header.extensions)
    return +found
