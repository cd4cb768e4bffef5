"""DICOM files as de-identified headers: the only door through which any of them comes in."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from wardround.data.deidentify import BURNED_IN, deidentify, site_key
from wardround.data.readers.boundary import head_of, refusing
from wardround.errors import DataError

if TYPE_CHECKING:
    from collections import Counter

    from pydicom import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"
MAX_INFLATED_BYTES = 2**28
MAX_TEXT = 64


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins like this is a DICOM file (PS3.10, 7.1)."""
    return head[128:132] == b"DICM"


def open_header(path: Path, pixels: bool = True) -> tuple[Dataset, Counter[str]]:
    """Read a file and take from it what identifies a patient.

    Args:
        path: of the file.
        pixels: whether the pixels are needed, too.

    Returns:
        The de-identified dataset, and how often each keyword was removed or replaced.

    Raises:
        DataError: it is no complete DICOM file, or says that text is burnt into its pixels.
    """
    if not is_dicom(head_of(path)):
        raise DataError(f"{path} is no DICOM file: it lacks the mark DICM")
    with refusing(str(path), "DICOM"):
        from pydicom import dcmread

        _refuse_deflated_bomb(path)
        dataset = dcmread(path, stop_before_pixels=not pixels)
        burned_in = str(dataset.get(BURNED_IN, "") and dataset[BURNED_IN].value).strip().upper()
        removed = deidentify(dataset, site_key())
    if burned_in == "YES":
        raise DataError(
            f"{path} says that text is burnt into its pixels: black it out, then set BurnedInAnnotation to NO"
        )
    return dataset, removed


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute as short printable text, ``""`` if it is absent."""
    value = dataset.get(keyword)
    return "".join(letter for letter in str(value or "") if letter.isprintable())[:MAX_TEXT].strip()


def scanner_of(dataset: Dataset) -> str:
    """Return manufacturer and model."""
    return " ".join(filter(None, (text_of(dataset, "Manufacturer"), text_of(dataset, "ManufacturerModelName"))))


def burned_in_of(dataset: Dataset) -> str:
    """Return ``"no"`` or ``"unsaid"``; see `VolumeSource`."""
    return "no" if text_of(dataset, "BurnedInAnnotation").upper() == "NO" else "unsaid"


def _refuse_deflated_bomb(path: Path) -> None:
    from pydicom.filereader import _read_file_meta_info as read_meta
    from pydicom.filereader import read_preamble

    with path.open("rb") as file:
        read_preamble(file, force=False)
        syntax = str(read_meta(file).get("TransferSyntaxUID", ""))
        if syntax != DEFLATED:
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflated = 0
        while not inflater.eof and (piece := file.read(2**16)):
            while piece and not inflater.eof:  # at its end zlib keeps the last tail for ever
                inflated += len(inflater.decompress(piece, 2**20))
                piece = inflater.unconsumed_tail
                if inflated > MAX_INFLATED_BYTES:
                    raise DataError(f"{path} inflates to more than {MAX_INFLATED_BYTES} bytes: save it without deflate")
