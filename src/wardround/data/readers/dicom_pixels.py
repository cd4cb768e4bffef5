"""Pixels of a DICOM image: frames decoded by pydicom's plug-ins, in the units that the file's own tables give."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from wardround.data.readers.codestream import frame_size
from wardround.data.volume import check_count
from wardround.errors import DataError

if TYPE_CHECKING:
    from pydicom import Dataset

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "PALETTE COLOR")


def frames_of(dataset: Dataset, name: str) -> np.ndarray:
    """Return the pixels of all frames.

    MONOCHROME1 is turned round so that larger means brighter; YBR and palettes become RGB. Grey values are rescaled by
    the modality LUT or by slope and intercept, for each frame where an enhanced image has them for each.

    Args:
        dataset: de-identified, with pixels.
        name: how errors call the file.

    Returns:
        ``(frames, rows, columns, channels)``; integers stay integers where the rescaling allows it, else float32.

    Raises:
        DataError: the file holds no image, claims too large a one, or its codestream another size than its header.
    """
    frames, kind = _checked(dataset, name)
    _quiet_gdcm()
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    stored = pixel_array(dataset)
    if kind == "PALETTE COLOR":
        colours = apply_color_lut(stored, dataset)
        stored = (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours
    channels = 1 if kind in GREY else 3
    stored = stored.reshape(frames, dataset.Rows, dataset.Columns, channels)
    if kind not in GREY:
        return _eight_bit(stored, dataset)
    if kind == "MONOCHROME1":
        stored = _inverted(stored, dataset)
    return np.concatenate([_rescaled(stored[index], dataset, index) for index in range(frames)])[..., None]


def window_of(dataset: Dataset) -> tuple[float, float] | None:
    """Return the first window's centre and width; ``None`` without one, or where MONOCHROME1 was turned round."""
    for part in (dataset, *functional_group(dataset, "FrameVOILUTSequence", 0)):
        centre, width = part.get("WindowCenter"), part.get("WindowWidth")
        if centre is None or width is None or dataset.get("PhotometricInterpretation") == "MONOCHROME1":
            continue
        first = [float(np.atleast_1d(value)[0]) for value in (centre, width)]
        if np.isfinite(first).all() and first[1] >= 1:
            return first[0], first[1]
    return None


def functional_group(dataset: Dataset, keyword: str, frame: int) -> list[Dataset]:
    """Return the item of an enhanced image's functional group for one frame: its own, else the shared one, or none."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    holders = [*own[frame : frame + 1], *(dataset.get("SharedFunctionalGroupsSequence") or [])]
    return [item for holder in holders for item in holder.get(keyword) or []][:1]


def _checked(dataset: Dataset, name: str) -> tuple[int, str]:
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        modality = dataset.get("Modality") or "a DICOM object"
        raise DataError(f"{name} holds no pixels, it is {modality}: leave it out of the images")
    frames = int(dataset.get("NumberOfFrames") or 1)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    check_count((frames, int(dataset.Rows), int(dataset.Columns), samples), name)
    kind = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    if kind not in GREY + COLOUR or samples != (1 if kind in (*GREY, "PALETTE COLOR") else 3):
        raise DataError(f"{name} has {samples} samples of {kind!r}, which is no known picture: convert it")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        _refuse_other_sizes(dataset, frames, samples, name)
    return frames, kind


def _refuse_other_sizes(dataset: Dataset, frames: int, samples: int, name: str) -> None:
    from pydicom.encaps import generate_frames

    expected = (int(dataset.Rows), int(dataset.Columns), samples)
    for frame in generate_frames(dataset.PixelData, number_of_frames=frames):
        size = frame_size(frame)
        if size and (size.rows, size.columns, size.samples) != expected:
            raise DataError(
                f"{name} holds a compressed frame of {size.rows} x {size.columns} x {size.samples}, but its header "
                f"says {' x '.join(map(str, expected))}: replace or remove it"
            )


def _inverted(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    if stored.dtype.kind == "f":
        return -stored
    brightest = -1 if int(dataset.get("PixelRepresentation") or 0) else 2 ** int(dataset.BitsStored) - 1
    limits = np.iinfo(stored.dtype)
    return np.clip(brightest - stored.astype(np.int64), limits.min, limits.max).astype(stored.dtype)


def _rescaled(stored: np.ndarray, dataset: Dataset, frame: int) -> np.ndarray:
    """Return ``(1, rows, columns)`` in the units of the modality; its dtype depends on the header alone."""
    from pydicom.pixels.processing import apply_modality_lut

    own = functional_group(dataset, "PixelValueTransformationSequence", frame)
    table = own[0] if own else dataset
    slope, intercept = (float(table.get(key) or base) for key, base in (("RescaleSlope", 1), ("RescaleIntercept", 0)))
    looked_up = bool(table.get("ModalityLUTSequence"))
    if not looked_up and (slope, intercept) == (1, 0):
        return stored[None, ..., 0]
    values = np.asarray(apply_modality_lut(stored[..., 0], table))[None]
    whole = looked_up or (slope.is_integer() and intercept.is_integer() and stored.dtype.kind != "f")
    return values.astype(np.int32 if whole else np.float32)


def _eight_bit(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    if stored.dtype == np.uint8:
        return stored
    return (stored >> max(int(dataset.BitsStored) - 8, 0)).astype(np.uint8)


@cache
def _quiet_gdcm() -> None:
    import gdcm

    trace: Any = gdcm.Trace
    for off in (trace.DebugOff, trace.WarningOff, trace.ErrorOff):
        off()
