"""Readers: one `Volume` from whatever file a hospital has; a file's format is told by its first bytes, not its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wardround.data.readers.boundary import head_of
from wardround.data.readers.dicom import read_dicom, read_series
from wardround.data.readers.dicom_header import is_dicom
from wardround.data.readers.nifti import is_nifti, read_nifti
from wardround.data.readers.picture import is_picture, read_picture
from wardround.data.volume import Volume
from wardround.errors import DataError


@dataclass(frozen=True)
class Reader:
    """One kind of file.

    Attributes:
        name: of the format.
        recognises: whether a file with these first bytes is of the format.
        read: reads it.
    """

    name: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Path], Volume]


READERS = (
    Reader("DICOM", is_dicom, read_dicom),
    Reader("NIfTI", is_nifti, read_nifti),
    Reader("picture", is_picture, read_picture),
)


def reader_of(path: Path) -> Reader:
    """Return the reader of a file.

    Raises:
        DataError: it is empty, cannot be opened, or is of no known format.
    """
    head = head_of(path)
    for reader in READERS:
        if reader.recognises(head):
            return reader
    raise DataError(f"{path} is no DICOM, NIfTI, PNG, JPEG or TIFF image: convert it or remove it")


def read_volume(path: Path) -> Volume:
    """Read an image file, or a folder with the DICOM files of one series.

    Raises:
        DataError: nothing there can be read as an image; the sentence names the file and says what to do.
    """
    return read_series(path) if path.is_dir() else reader_of(path).read(path)


__all__ = ["READERS", "Reader", "read_volume", "reader_of"]
