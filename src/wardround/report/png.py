"""Pictures that stand in a page itself, so that it needs no other file."""

from __future__ import annotations

import base64
import io

import numpy as np


def as_png(picture: np.ndarray) -> str:
    """Return a uint8 picture ``(H, W, C)``, C 1 or 3, as base64 of a PNG."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture if picture.shape[2] == 3 else picture[..., 0]).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()
