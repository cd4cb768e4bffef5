"""The embedded slide: one real immunohistochemistry image, cut into four sites that a demo can train on at once.

`skimage.data.immunohistochemistry` (512 x 512, no known copyright restrictions) shows human colon, its nuclei stained
blue by haematoxylin and one protein brown by diaminobenzidine (DAB). Each quadrant becomes a site with a scanner of its
own. The network sees patches *without* the brown stain and has to tell from what is left how much of it there was.
``docs/explanation/embedded-slide.md`` tells how the label was chosen and what the task is and is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from wardround.core.context import derive_seed
from wardround.data.decode import check_size
from wardround.data.images import LabelledImages
from wardround.data.masks import Masks
from wardround.data.prepare import Decoding
from wardround.errors import PlanError

REGION_PX = 256
GAP_PX = 8
TEST_PX = 96
CLASSES = ("little DAB", "much DAB")
REGIONS = ("elsewhere", "nuclei")
NUCLEI_BLUR_PX = 1.0
NUCLEI_THRESHOLD = 0.0239
"""Haematoxylin above which a pixel counts as nucleus: Otsu's threshold of the whole slide, so blurred."""


@dataclass(frozen=True)
class Look:
    """A site's quadrant and its scanner.

    Attributes:
        site: name of the site.
        corner: row and column where the quadrant begins, in pixels.
        gain: factor on red, green and blue: the colour of the lamp.
        gamma: exponent on the transmitted light; in optical density a factor, like a thicker or thinner section.
        blur_px: standard deviation of the lens's blur, in pixels.
        noise: standard deviation of the sensor's noise, in grey levels of 255.
    """

    site: str
    corner: tuple[int, int]
    gain: tuple[float, float, float]
    gamma: float
    blur_px: float
    noise: float


LOOKS = (
    Look("north-east", (0, 256), (1.00, 0.94, 0.86), 1.15, 0.5, 1.0),
    Look("north-west", (0, 0), (0.97, 1.00, 0.96), 1.00, 0.0, 2.0),
    Look("south-east", (256, 256), (0.88, 0.95, 1.00), 0.85, 0.3, 3.0),
    Look("south-west", (256, 0), (0.93, 0.90, 0.92), 1.30, 0.7, 1.0),
)


@dataclass(frozen=True)
class Strip:
    """The rows of every quadrant that belong to one part.

    Attributes:
        part: ``"train"``, ``"val"`` or ``"test"``.
        top: first row, counted from the top of the quadrant.
        end: one past the last row.
    """

    part: str
    top: int
    end: int


@dataclass(frozen=True)
class Slide:
    """Patches of the embedded slide with the DAB stain removed; the label is DAB coverage above the training median.

    Attributes:
        size_px: edge of a patch, 16 to 48.
        stride_px: step between training patches, which may overlap each other.
        dab_threshold: DAB concentration above which a pixel counts as covered, in the units of `skimage.color.rgb2hed`.
    """

    public: ClassVar[bool] = True

    size_px: int = 16
    stride_px: int = 6
    dab_threshold: float = 0.05

    def __post_init__(self) -> None:
        """Refuse sizes that leave a part without patches.

        Raises:
            PlanError: a field is out of range.
        """
        check_size(self.size_px)
        if not 16 <= self.size_px <= 48:
            raise PlanError(f"data.size_px is {self.size_px}; the embedded slide has room for patches of 16 to 48")
        if not 1 <= self.stride_px <= self.size_px:
            raise PlanError(f"data.stride_px is {self.stride_px}; give 1 to {self.size_px}, the edge of a patch")
        if not 0 < self.dab_threshold < 0.2:
            raise PlanError(f"data.dab_threshold is {self.dab_threshold}; give a value between 0 and 0.2")

    def load(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the patches of all sites; nothing is read below `root`, the slide ships with scikit-image."""
        slide = embedded_slide()
        places = patch_places(self.size_px, self.stride_px)
        coverage = patches_of(dab_of(slide) > self.dab_threshold, places, self.size_px).mean(axis=(1, 2))
        labels = coverage > np.median(coverage[places.parts == "train"])
        return LabelledImages(
            pixels=patches_of(
                stretched(stain_free(slide, white_rows=strips(self.size_px)[0].end)), places, self.size_px
            ),
            rows=np.arange(len(places)),
            labels=labels.astype(np.int64),
            origins=places.sites,
            groups=places.blocks,
            classes=CLASSES,
            malignant=(),
            parts=places.parts,
            public=self.public,
        )

    def load_masked(self, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the patches with masks of what is rich in haematoxylin: computed on the untouched slide, not drawn.

        The network sees that stain, but through each site's own scanner.
        """
        nuclei = patches_of(nuclei_of(embedded_slide()), patch_places(self.size_px, self.stride_px), self.size_px)
        return replace(self.load(root, how), masks=Masks(nuclei.astype(np.uint8), REGIONS))


@dataclass(frozen=True, eq=False)
class Places:
    """Where the patches lie: ``(N,)`` arrays of corners on the slide, sites, parts and blocks."""

    rows: np.ndarray
    columns: np.ndarray
    sites: np.ndarray
    parts: np.ndarray
    blocks: np.ndarray

    def __len__(self) -> int:
        """Return the number of patches."""
        return len(self.rows)


def strips(size_px: int) -> tuple[Strip, Strip, Strip]:
    """Return the strips of a quadrant, `GAP_PX` apart, so that no blur carries a test pixel into training."""
    test_top = REGION_PX - TEST_PX // (2 * size_px) * (2 * size_px)
    val_top = test_top - GAP_PX - 2 * size_px
    return (
        Strip("train", 0, val_top - GAP_PX),
        Strip("val", val_top, val_top + 2 * size_px),
        Strip("test", test_top, REGION_PX),
    )


def patch_places(size_px: int, stride_px: int) -> Places:
    """Lay patches over every strip of every quadrant.

    Training patches lie `stride_px` apart, each a group of its own. Validation and test strips are cut into square
    blocks of twice the patch; a block holds nine half-overlapping patches, which form one group, and no patch crosses
    its border.
    """
    found: list[tuple[int, int, str, str, str]] = []
    for look in LOOKS:
        top, left = look.corner
        for strip in strips(size_px):
            block_px, step = (size_px, stride_px) if strip.part == "train" else (2 * size_px, 2 * size_px)
            for row in range(strip.top, strip.end - block_px + 1, step):
                for column in range(0, REGION_PX - block_px + 1, step):
                    name = f"{look.site}:{row}:{column}"
                    for down, right in _inside(block_px, size_px):
                        found.append((top + row + down, left + column + right, look.site, strip.part, name))
    rows, columns, sites, parts, blocks = zip(*found, strict=True)
    return Places(np.array(rows), np.array(columns), np.array(sites), np.array(parts), np.array(blocks))


def _inside(block_px: int, size_px: int) -> list[tuple[int, int]]:
    steps = range(0, block_px - size_px + 1, max(size_px // 2, 1))
    return [(down, right) for down in steps for right in steps]


def patches_of(plane: np.ndarray, places: Places, size_px: int) -> np.ndarray:
    """Cut ``(N, size_px, size_px, …)`` out of ``(512, 512, …)``."""
    steps = np.arange(size_px)
    rows = places.rows[:, None, None] + steps[None, :, None]
    columns = places.columns[:, None, None] + steps[None, None, :]
    return plane[rows, columns]


def embedded_slide() -> np.ndarray:
    """Return the slide as it was scanned, uint8 ``(512, 512, 3)``."""
    from skimage.data import immunohistochemistry

    return np.asarray(immunohistochemistry())  # type: ignore[no-untyped-call]


def dab_of(slide: np.ndarray) -> np.ndarray:
    """Return each pixel's DAB concentration, float ``(H, W)``, by colour deconvolution (Ruifrok and Johnston 2001)."""
    from skimage.color import rgb2hed

    return np.asarray(rgb2hed(slide)[..., 2])


def nuclei_of(slide: np.ndarray) -> np.ndarray:
    """Return where haematoxylin is above `NUCLEI_THRESHOLD`, bool ``(H, W)``; each quadrant is blurred by itself."""
    from skimage.color import rgb2hed
    from skimage.filters import gaussian

    haematoxylin = np.asarray(rgb2hed(slide)[..., 0])
    result = np.zeros(haematoxylin.shape, bool)
    for look in LOOKS:
        top, left = look.corner
        quadrant = np.s_[top : top + REGION_PX, left : left + REGION_PX]
        blurred = gaussian(haematoxylin[quadrant], NUCLEI_BLUR_PX)  # type: ignore[no-untyped-call]
        result[quadrant] = blurred > NUCLEI_THRESHOLD
    return result


def stain_free(slide: np.ndarray, white_rows: int) -> np.ndarray:
    """Scan every quadrant with its own scanner, even out its gain and take the DAB stain off.

    Args:
        slide: uint8 ``(512, 512, 3)``.
        white_rows: rows at the top of a quadrant that tell what its scanner calls white: the training strip.

    Returns:
        uint8 ``(512, 512, 3)``.
    """
    result = np.empty_like(slide)
    for look in LOOKS:
        top, left = look.corner
        quadrant = np.s_[top : top + REGION_PX, left : left + REGION_PX]
        result[quadrant] = without_dab(gain_normalised(scanned(slide[quadrant], look), white_rows))
    return result


def scanned(quadrant: np.ndarray, look: Look) -> np.ndarray:
    """Return the quadrant as the site's scanner would have recorded it, uint8 of the same shape."""
    from skimage.filters import gaussian

    sharp = (quadrant / 255.0) ** look.gamma
    light = gaussian(sharp, look.blur_px, channel_axis=2) * np.array(look.gain)  # type: ignore[no-untyped-call]
    rng = np.random.default_rng(derive_seed("embedded slide", look.site))
    return _eight_bit(light + rng.normal(0, look.noise / 255, quadrant.shape))


def gain_normalised(quadrant: np.ndarray, white_rows: int) -> np.ndarray:
    """Scale each channel so that the 99th percentile of the first `white_rows` rows becomes white."""
    white = np.percentile(quadrant[:white_rows], 99, axis=(0, 1))
    return _eight_bit(quadrant / np.maximum(white, 1))


def without_dab(rgb: np.ndarray) -> np.ndarray:
    """Set every pixel's DAB concentration to zero and return the colours that are left, uint8 of the same shape."""
    from skimage.color import hed2rgb, rgb2hed

    stains = rgb2hed(rgb)
    stains[..., 2] = 0
    return _eight_bit(hed2rgb(stains))


def stretched(rgb: np.ndarray) -> np.ndarray:
    """Spread grey levels 128 to 255 over 0 to 255: what is left without the brown stain is pale."""
    return _eight_bit(rgb / 127.5 - 1)


def _eight_bit(light: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(np.clip(light, 0, 1) * 255), dtype=np.uint8)
