"""One image file to uint8 pixels of a fixed size; whatever is not a plain, finite picture of sane size is refused."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, TypeVar

import numpy as np

from wardround.errors import DataError, PlanError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "TIFF")

Item = TypeVar("Item")


def decode_image(file: IO[bytes], name: str, size_px: int, channels: int) -> np.ndarray:
    """Read one PNG, JPEG or TIFF and scale it to a square, averaging over the area that becomes one pixel.

    The aspect ratio is not kept: the whole picture fills the square.

    Args:
        file: an open binary file.
        name: how errors call it.
        size_px: edge of the result.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        uint8 ``(size_px, size_px, channels)``. Sixteen-bit values are divided by 256, float values taken as 0 to 1.

    Raises:
        DataError: the file is no such picture, damaged, larger than `MAX_PIXELS`, has several frames, or a pixel is not
            finite or out of range.
    """
    from PIL import Image, UnidentifiedImageError

    mode = "RGB" if channels == 3 else "L"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about size and odd metadata; size is checked here
            with Image.open(file, formats=FORMATS) as image:
                refuse_unusual(image, name)
                image.draft(mode, (2 * size_px, 2 * size_px))  # JPEG only: decodes at 1/2, 1/4 or 1/8 of the size
                scaled = _eight_bit(image, name).convert(mode).resize((size_px, size_px), Image.Resampling.BILINEAR)
    except Image.DecompressionBombError:
        raise DataError(f"{name} has more than {MAX_PIXELS} pixels: scale it down before use") from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is not a {', '.join(FORMATS)} image: convert it or remove it") from None
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, ArithmeticError) as error:
        raise DataError(
            f"{name} is damaged and cannot be decoded ({_first_line(error)}): replace or remove it"
        ) from None
    return np.asarray(scaled, dtype=np.uint8).reshape(size_px, size_px, channels)


def check_size(size_px: int, channels: int = 3) -> None:
    """Refuse sizes no network here can use.

    Raises:
        PlanError: `size_px` is outside 8 to 1024, or `channels` is neither 1 nor 3.
    """
    if not 8 <= size_px <= 1024:
        raise PlanError(f"data.size_px is {size_px}; give 8 to 1024")
    if channels not in (1, 3):
        raise PlanError(f"data.channels is {channels}; give 1 (grey) or 3 (colour)")


def with_progress(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """Pass `items` on, with a progress bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, description=what, total=total, console=Console(stderr=True), transient=True)


def refuse_unusual(image: Image, name: str) -> None:
    """Refuse a picture with more than `MAX_PIXELS` pixels or several frames, before it is decoded.

    Raises:
        DataError: it is one.
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"{name} has {width} x {height} pixels, more than {MAX_PIXELS}: scale it down before use")
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise DataError(f"{name} holds {frames} frames: save each as an image of its own")


def _eight_bit(image: Image, name: str) -> Image:
    from PIL import Image as PILImage

    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise DataError(f"{name} holds a pixel that is not finite (NaN or infinite): repair or remove it")
        if values.min() < 0 or values.max() > 1:
            raise DataError(f"{name} holds float pixels outside 0 to 1: scale them to that range")
        return PILImage.fromarray(np.rint(values * 255).astype(np.uint8))
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{name} holds integers outside 0 to 65535: save it with 8 or 16 bits")
        return PILImage.fromarray((values >> 8).astype(np.uint8))
    return image


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
