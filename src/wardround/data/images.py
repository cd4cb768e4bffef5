"""Labelled images: one shared block of pixels, and views that say which of its rows they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wardround.data.masks import Masks
from wardround.errors import DataError

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with labels, the site and the patient of each: a view of N rows of a shared block of M images.

    Attributes:
        pixels: uint8 ``(M, H, W, C)``, C is 1 or 3; shared by all views, may be memory-mapped, never copied by `take`.
        rows: int64 ``(N,)``, the rows of `pixels` that this view holds.
        labels: int64 ``(N,)``, indices into `classes`.
        origins: str ``(N,)``, the site that each image comes from.
        groups: str ``(N,)``, the patient or lesion that each image shows; no group may be in two parts or at two sites.
        classes: the name of each label.
        malignant: the classes that count as malignant; may be empty.
        parts: str ``(N,)``, ``"train"``, ``"val"`` or ``"test"`` where the source itself fixes the split, else ``""``.
        public: whether the images are published, so that predictions on them may leave a site by default.
        masks: the region of each pixel of the block; ``None`` where nobody asked for masks, or there are none.
        degraded: uint8 ``(M, H, W, C)``, what networks are fed in place of `pixels`; ``None`` feeds `pixels`.
    """

    pixels: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    origins: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]
    malignant: tuple[str, ...]
    parts: np.ndarray
    public: bool
    masks: Masks | None = None
    degraded: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together.

        Raises:
            DataError: a shape, dtype, label, row or class name does not fit the others.
        """
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3):
            raise DataError(
                f"pixels are {self.pixels.dtype} {shape}; give uint8 (M, H, W, C) with one or three channels"
            )
        if self.masks is not None and self.masks.values.shape != shape[:3]:
            raise DataError(
                f"masks have the shape {self.masks.values.shape}, the images {shape[:3]}: give one for each"
            )
        if self.degraded is not None and (self.degraded.shape != shape or self.degraded.dtype != np.uint8):
            raise DataError(f"degraded images are {self.degraded.dtype} {self.degraded.shape}, not uint8 {shape}")
        for name in ("rows", "labels", "origins", "groups", "parts"):
            if getattr(self, name).shape != (len(self),):
                raise DataError(
                    f"{name} has shape {getattr(self, name).shape}; give one value for each of {len(self)} images"
                )
        _refuse_outside("rows", self.rows, shape[0])
        _refuse_outside("labels", self.labels, len(self.classes))
        if strange := sorted(set(self.malignant) - set(self.classes)):
            raise DataError(f"malignant names {strange[0]!r}, which is no class; choose from {', '.join(self.classes)}")
        if strange := sorted(set(np.unique(self.parts).tolist()) - {"", *PARTS}):
            raise DataError(f"part {strange[0]!r} is unknown; choose from {', '.join(PARTS)}")

    def __len__(self) -> int:
        """Return the number of images in this view."""
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.pixels.shape[1:]
        return height, width, channels

    def take(self, indices: Sequence[int] | np.ndarray) -> LabelledImages:
        """Return the view of these images, in this order; it shares `pixels`.

        Args:
            indices: integers into this view, or a boolean mask ``(N,)``.
        """
        chosen = np.asarray(indices)
        if chosen.size == 0 and chosen.dtype != bool:
            chosen = chosen.astype(np.int64)
        return replace(
            self,
            rows=self.rows[chosen],
            labels=self.labels[chosen],
            origins=self.origins[chosen],
            groups=self.groups[chosen],
            parts=self.parts[chosen],
        )

    def batch(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """Return the pixels of these images as a new uint8 array ``(B, H, W, C)``."""
        return np.array(self.pixels[self._rows(indices)])

    def fed(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """Return what a network is fed for these images, uint8 ``(B, H, W, C)``: degraded where they are degraded."""
        return np.array((self.pixels if self.degraded is None else self.degraded)[self._rows(indices)])

    def mask_batch(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """Return the masks of these images as a new uint8 array ``(B, H, W)``.

        Raises:
            DataError: the images have no masks.
        """
        if self.masks is None:
            raise DataError("the images have no masks: choose a source that has, or another task")
        return np.array(self.masks.values[self._rows(indices)])

    def _rows(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        return self.rows[indices if isinstance(indices, slice) else np.asarray(indices, dtype=np.int64)]

    def label_counts(self) -> np.ndarray:
        """Return int64 ``(C,)``: the number of images of each class, in the order of `classes`."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)


def _refuse_outside(name: str, values: np.ndarray, end: int) -> None:
    if not np.issubdtype(values.dtype, np.integer):
        raise DataError(f"{name} has dtype {values.dtype}; give integers")
    if len(values) and not 0 <= values.min() <= values.max() < end:
        raise DataError(f"{name} runs from {values.min()} to {values.max()}; it has to stay within 0 to {end - 1}")
