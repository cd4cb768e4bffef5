"""PNG, JPEG and TIFF pictures. Nothing but their pixels is read: EXIF, comments and profiles stay behind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wardround.data.decode import FORMATS, MAX_PIXELS, refuse_unusual
from wardround.data.readers.boundary import refusing
from wardround.data.volume import Volume, VolumeSource
from wardround.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MARKS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")


def is_picture(head: bytes) -> bool:
    """Whether a file that begins like this is a PNG, JPEG or TIFF."""
    return head.startswith(MARKS)


def read_picture(path: Path) -> Volume:
    """Read a picture as it is stored, turned as its EXIF orientation says; palettes and other colour spaces become RGB.

    Raises:
        DataError: the file is damaged, too large, has several frames or a pixel that is not finite.
    """
    from PIL import Image as PILImage
    from PIL import ImageOps

    name = str(path)
    with refusing(name, "picture"):
        try:
            with path.open("rb") as file, PILImage.open(file, formats=FORMATS) as image:
                refuse_unusual(image, name)
                kind = str(image.format)
                array = np.asarray(_plain(ImageOps.exif_transpose(image)))
        except PILImage.DecompressionBombError:
            raise DataError(f"{name} has more than {MAX_PIXELS} pixels: scale it down before use") from None
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{name} holds a pixel that is not finite (NaN or infinite): repair or remove it")
        return Volume(
            array.reshape(*array.shape[:2], 1, -1), (0.0, 0.0, 0.0), None, VolumeSource(kind, burned_in="unsaid")
        )


def _plain(image: Image) -> Image:
    if image.mode in ("L", "RGB", "F") or image.mode.startswith("I"):
        return image
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def left_behind(path: Path) -> Counter[str]:
    """Return what a picture carries beside its pixels, none of which is read: name -> number of entries."""
    from PIL import Image as PILImage

    found: Counter[str] = Counter()
    with refusing(str(path), "picture"), path.open("rb") as file, PILImage.open(file, formats=FORMATS) as image:
        found["EXIF"] = len(image.getexif())
        for key, value in image.info.items():
            if key != "exif" and isinstance(value, str | bytes):
                found["comments and profiles"] += bool(value)
    return +found
