"""Images of many makes become squares of one size, orientation, spacing and scale: the steps that a plan declares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wardround.data.intensity import Intensity
from wardround.data.volume import Volume, VolumeSource, spacing_of
from wardround.errors import DataError, PlanError

OUTSIDE = ("keep", "blank", "crop")
SAME_SPACING = 1e-4
"""Relative difference below which an image is left as it is: less than a pixel over ten thousand."""
HALF = 127
"""Grey level of a scaled mask above which more than half of a pixel lies inside."""
LETTERS = ({"R", "L"}, {"A", "P"}, {"S", "I"})


@dataclass(frozen=True)
class Harmonise:
    """The ``[data.harmonise]`` table: geometry, the same at every site.

    Attributes:
        orientation: where rows, columns and slices run, one letter each of R/L, A/P and S/I, such as ``"PLS"``: rows
            downwards to the back, columns to the left, slices to the head. Pictures, which know no patient, stay as
            they are. Empty keeps every image as its file has it.
        spacing_mm: distance between rows and between columns after interpolation; 0 keeps every file's own.
        outside_mask: ``keep`` uses no mask, ``blank`` makes black what lies outside of an image's mask, ``crop`` cuts
            to the rectangle around it.
    """

    orientation: str = ""
    spacing_mm: float = 0.0
    outside_mask: str = "keep"

    def __post_init__(self) -> None:
        """Refuse what is no orientation, spacing or use of a mask.

        Raises:
            PlanError: a field is out of range.
        """
        axes = {frozenset(pair) for pair in LETTERS for letter in self.orientation if letter in pair}
        if self.orientation and (len(self.orientation) != 3 or len(axes) != 3):
            raise PlanError(f"data.harmonise.orientation = {self.orientation!r}: give three letters such as PLS or RAS")
        if not 0 <= self.spacing_mm <= 1000:
            raise PlanError(
                f"data.harmonise.spacing_mm = {self.spacing_mm}: give millimetres, or 0 to keep each file's"
            )
        if self.outside_mask not in OUTSIDE:
            raise PlanError(f"data.harmonise.outside_mask = {self.outside_mask!r} is not one of {', '.join(OUTSIDE)}")

    def placed(self, image: Volume, name: str, interpolated: bool = True) -> Volume:
        """Return the image turned (nibabel) and resampled (MONAI's `Spacing`) as declared.

        Args:
            image: as read.
            name: how errors call it.
            interpolated: linearly between pixels; masks take the nearest.

        Raises:
            DataError: a spacing is declared, and the image does not know its own.
        """
        if self.orientation and image.affine is not None and image.orientation != self.orientation:
            image = _turned(image, self.orientation)
        return _respaced(image, self.spacing_mm, name, interpolated) if self.spacing_mm else image


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice of an image, placed as the plan declares, before its values become grey levels.

    Attributes:
        values: ``(rows, columns, channels)``, real.
        inside: bool ``(rows, columns)``, false where the slice shall be black; ``None`` where nothing shall.
        source: how the image was made.
    """

    values: np.ndarray
    inside: np.ndarray | None
    source: VolumeSource


def plane_of(image: Volume, mask: Volume | None, frame: int | None, steps: Harmonise, name: str) -> Plane:
    """Return one slice after orientation, spacing, and crop.

    Args:
        image: as read.
        mask: on the image's grid; what is not zero lies inside. ``None`` where there is none.
        frame: which slice, from 0 along the third axis after orientation; ``None`` if there is only one.
        steps: geometry.
        name: how errors call the image.

    Raises:
        DataError: the image or the mask does not allow a step.
    """
    image = steps.placed(image, name)
    values = _slice_of(image, frame, name)
    if mask is None or steps.outside_mask == "keep":
        return Plane(values, None, image.source)
    placed = steps.placed(mask, name, interpolated=False)
    if placed.array.shape[:3] != image.array.shape[:3]:
        raise DataError(f"{name}: the mask is {placed.array.shape[:3]}, the image {image.array.shape[:3]}")
    inside = np.asarray(_slice_of(placed, frame, name).max(axis=2) > 0)
    if not inside.any():
        raise DataError(f"{name}: the mask is empty on this slice: name another frame, or remove the line")
    if steps.outside_mask == "crop":
        return Plane(values[_extent(inside, 1), _extent(inside, 0)], None, image.source)
    return Plane(values, inside, image.source)


def mask_square(
    image: Volume, mask: Volume, frame: int | None, steps: Harmonise, size_px: int, name: str
) -> tuple[np.ndarray, tuple[float, float]]:
    """Return what lies inside of a mask, on the grid on which a network is fed the image.

    A pixel lies inside where more than half of its area does.

    Args:
        image: as read.
        mask: on the image's grid; what is not zero lies inside. It may be empty.
        frame: which slice; see `plane_of`.
        steps: geometry.
        size_px: edge of the result.
        name: how errors call the image.

    Returns:
        uint8 ``(size_px, size_px)`` of zeros and ones; and the distance between its rows and between its columns in mm,
        NaN where the image does not say.

    Raises:
        DataError: the image or the mask does not allow a step.
    """
    image, mask = steps.placed(image, name), steps.placed(mask, name, interpolated=False)
    if mask.array.shape[:3] != image.array.shape[:3]:
        raise DataError(f"{name}: the mask is {mask.array.shape[:3]}, the image {image.array.shape[:3]}")
    inside = _slice_of(mask, frame, name).max(axis=2) > 0
    grey = _resized(np.where(inside, np.uint8(255), np.uint8(0))[..., None], size_px, 1)
    rows, columns = (
        length * edge / size_px if length else np.nan
        for length, edge in zip(image.spacing_mm[:2], inside.shape, strict=True)
    )
    return (grey[..., 0] > HALF).astype(np.uint8), (float(rows), float(columns))


def square(plane: Plane, intensity: Intensity, size_px: int, channels: int, name: str) -> np.ndarray:
    """Return a slice as a network is fed it.

    Sizes are changed last and on grey levels, by Pillow's fixed-point arithmetic, which gives the same bits everywhere.

    Args:
        plane: of the image.
        intensity: how values become grey levels.
        size_px: edge of the result.
        channels: 1 (grey) or 3 (RGB).
        name: how errors call the image.

    Returns:
        uint8 ``(size_px, size_px, channels)``.

    Raises:
        DataError: the image's values do not suit.
    """
    levels = intensity.levels(plane.values, plane.source, name)
    if plane.inside is not None:
        levels = np.where(plane.inside[..., None], levels, np.uint8(0))
    return _resized(levels, size_px, channels)


def _slice_of(image: Volume, frame: int | None, name: str) -> np.ndarray:
    if frame is None:
        if image.slices != 1:
            raise DataError(f"{name} holds {image.slices} slices: name one in the column frame, from 0 on")
        frame = 0
    if not 0 <= frame < image.slices:
        raise DataError(f"{name} has no frame {frame}: it holds {image.slices}, counted from 0")
    return image.array[:, :, frame]


def _extent(inside: np.ndarray, across: int) -> slice:
    places = np.flatnonzero(inside.max(axis=across))
    return slice(int(places[0]), int(places[-1]) + 1)


def _resized(levels: np.ndarray, size_px: int, channels: int) -> np.ndarray:
    from PIL import Image

    picture = Image.fromarray(levels if levels.shape[2] == 3 else levels[..., 0])
    scaled = picture.convert("RGB" if channels == 3 else "L").resize((size_px, size_px), Image.Resampling.BILINEAR)
    return np.asarray(scaled, dtype=np.uint8).reshape(size_px, size_px, channels)


def _turned(image: Volume, orientation: str) -> Volume:
    from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(orientation))
    array = np.ascontiguousarray(apply_orientation(image.array, turn))
    affine = np.asarray(image.affine) @ inv_ornt_aff(turn, image.array.shape[:3])
    return replace(image, array=array, affine=affine, spacing_mm=spacing_of(affine))


def _respaced(image: Volume, spacing_mm: float, name: str, interpolated: bool) -> Volume:
    if not (image.spacing_mm[0] and image.spacing_mm[1]):
        raise DataError(f"{name} does not say its spacing, and data.harmonise.spacing_mm asks for one: set it to 0")
    if np.allclose(image.spacing_mm[:2], spacing_mm, rtol=SAME_SPACING, atol=0):
        return image
    import torch
    from monai.data.meta_tensor import MetaTensor
    from monai.transforms.spatial.array import Spacing

    affine = image.affine
    if affine is None:
        affine = np.diag([image.spacing_mm[0], image.spacing_mm[1], image.spacing_mm[2] or 1.0, 1.0])
    wanted = (spacing_mm, spacing_mm, spacing_of(affine)[2])
    factors = np.divide(spacing_of(affine)[:2], spacing_mm)
    if (np.array(image.array.shape[:2]) * factors).max() > 16384:
        raise DataError(f"{name} would have more than 16384 pixels along an edge at {spacing_mm} mm: give more mm")
    channel_first = np.moveaxis(image.array.astype(np.float32), 3, 0)
    step = Spacing(wanted, mode="bilinear" if interpolated else "nearest", padding_mode="border", dtype=np.float64)
    moved: Any = step(MetaTensor(channel_first, affine=torch.from_numpy(affine)))
    array = np.moveaxis(np.asarray(moved), 0, 3)
    if image.array.dtype.kind in "ui":
        array = np.rint(array)
    turned = np.asarray(moved.affine, dtype=np.float64)
    return replace(
        image,
        array=array.astype(image.array.dtype),
        spacing_mm=spacing_of(turned),
        affine=None if image.affine is None else turned,
    )
