"""Which region each pixel of an image belongs to: what a segmentation learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.errors import DataError


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of a block of M images; views of the images share it, and find theirs by the same rows.

    Attributes:
        values: uint8 ``(M, H, W)``, indices into `regions`; may be memory-mapped.
        regions: what the values mean; the first is the background.
        spacing_mm: float64 ``(M, 2)``, the distance between rows and between columns of each image as networks are fed
            it; NaN where the image does not say. ``None`` where no image says.
    """

    values: np.ndarray
    regions: tuple[str, ...]
    spacing_mm: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuse what is no mask.

        Raises:
            DataError: a shape, a dtype or a number of regions does not fit.
        """
        if self.values.dtype != np.uint8 or self.values.ndim != 3:
            raise DataError(f"masks are {self.values.dtype} {self.values.shape}; give uint8 (M, H, W)")
        if not 2 <= len(self.regions) <= 255:
            raise DataError(f"masks have {len(self.regions)} regions; give two to 255, the background first")
        if self.spacing_mm is not None and self.spacing_mm.shape != (len(self.values), 2):
            raise DataError(
                f"spacings have the shape {self.spacing_mm.shape}; give rows and columns of {len(self.values)} masks"
            )

    def spacing_of(self, rows: np.ndarray) -> np.ndarray:
        """Return float64 ``(len(rows), 2)``: the spacing of these rows of the block, NaN where it is unknown."""
        if self.spacing_mm is None:
            return np.full((len(rows), 2), np.nan)
        return np.asarray(self.spacing_mm[rows], np.float64)
