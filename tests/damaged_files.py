"""Damages image files in the ways that files are damaged, and in ways that only an attacker would."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from dicom_files import image, placed, structures
from PIL import Image
from pydicom import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

MAX_SEED_BYTES = 150_000
HUGE = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0")


def seeds() -> list[tuple[str, bytes]]:
    """Return whole files of every kind that is read, with their names' endings."""
    grey = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
    found = [(".dcm", _dicom(image(grey, **placed(0))))]
    for syntax in (RLELossless, JPEG2000Lossless):
        dataset = image(grey, **placed(0))
        dataset.compress(syntax, generate_instance_uid=False)
        found.append((".dcm", _dicom(dataset)))
    deflated = image(grey, **placed(0))
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    found.append((".dcm", _dicom(deflated)))
    square = np.array([[0, 0, 0], [0, 5, 0], [5, 5, 0], [5, 0, 0]], dtype=float)
    found.append((".dcm", _dicom(structures({"region": [("1.2.3", square)]}))))
    base = Path(pydicom.__file__).parent / "data" / "test_files"
    found += [
        (".dcm", path.read_bytes()) for path in sorted(base.glob("*.dcm")) if path.stat().st_size < MAX_SEED_BYTES
    ]
    picture = Image.fromarray((grey // 16).astype(np.uint8))
    for kind in ("PNG", "JPEG", "TIFF"):
        content = io.BytesIO()
        picture.save(content, kind)
        found.append((f".{kind.lower()}", content.getvalue()))
    plain = nibabel.Nifti1Image(grey.astype(np.int16)[..., None], np.diag([2.0, 2, 3, 1])).to_bytes()
    return [*found, (".nii", plain), (".nii.gz", _gzipped(plain))]


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """Return a damaged copy; which damage it is, `rng` says."""
    change = (_cut, _flipped, _overwritten, _grown, _without_a_piece, _twice)[rng.integers(6)]
    return change(rng, bytearray(content))


def damaged_files(folder: Path, count: int, seed: int) -> Iterator[Path]:
    """Write `count` damaged files, each kind in turn."""
    rng = np.random.default_rng(seed)
    whole = seeds()
    for index in range(count):
        ending, content = whole[index % len(whole)]
        path = folder / f"{index:06d}{ending}"
        path.write_bytes(damaged(rng, content))
        yield path


def _cut(rng: np.random.Generator, content: bytearray) -> bytes:
    return bytes(content[: rng.integers(len(content))])


def _flipped(rng: np.random.Generator, content: bytearray) -> bytes:
    for place in rng.integers(len(content), size=rng.integers(1, 20)):
        content[place] ^= 1 << rng.integers(8)
    return bytes(content)


def _overwritten(rng: np.random.Generator, content: bytearray) -> bytes:
    for place in rng.integers(max(len(content) - 4, 1), size=rng.integers(1, 4)):
        content[place : place + 4] = HUGE[rng.integers(4)]
    return bytes(content)


def _grown(rng: np.random.Generator, content: bytearray) -> bytes:
    """Make rows and columns of a DICOM header, or the edges of a NIfTI header, as large as they go."""
    for tag in (b"\x28\0\x10\0US\x02\0", b"\x28\0\x11\0US\x02\0"):
        place = content.find(tag)
        if place >= 0:
            content[place + 8 : place + 10] = struct.pack("<H", rng.integers(60000, 65536))
    if content[344:348] == b"n+1\0":
        content[42:48] = struct.pack("<3H", *rng.integers(20000, 32767, size=3))
    return _overwritten(rng, content)


def _without_a_piece(rng: np.random.Generator, content: bytearray) -> bytes:
    start = int(rng.integers(len(content)))
    del content[start : start + int(rng.integers(1, 200))]
    return bytes(content)


def _twice(rng: np.random.Generator, content: bytearray) -> bytes:
    start = int(rng.integers(len(content)))
    return bytes(content[:start] + content[start // 2 :])


def _dicom(dataset: FileDataset) -> bytes:
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def _gzipped(content: bytes) -> bytes:
    import gzip

    return gzip.compress(content, mtime=0)
