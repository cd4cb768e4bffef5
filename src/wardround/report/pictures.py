"""Test images with what the network said of them, as the run folder has them: only of images that are published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wardround.core.update import Tensors, of_group
from wardround.errors import RunFolderError
from wardround.report.png import as_png
from wardround.report.reading import Results, Run
from wardround.report.words import METRICS, listed

TILE_PX = 144
GAP_PX = 4
TRUTH, ANSWER = (0, 158, 115), (230, 97, 0)
LARGEST_BYTES = 64 * 2**20
CAPTIONS = {
    "segmentation": "The true border is green, the predicted one orange.",
    "restoration": "From left to right: what was seen, what was made of it, the clean image.",
}


@dataclass(frozen=True)
class Gallery:
    """The pictures of one site.

    Attributes:
        site: whose images they are.
        pictures: for each its caption, and a PNG in base64.
    """

    site: str
    pictures: tuple[tuple[str, str], ...]


def galleries(run: Run, results: Results) -> list[Gallery]:
    """Return the pictures of every site that showed some; empty where the folder holds none.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = run.path / "pictures.safetensors"
    if results.task not in CAPTIONS or not path.is_file():
        return []
    arrays, names = _read(path)
    metric = METRICS[next(iter(results.pooled.metrics))]
    try:
        return [
            Gallery(site, _of_site(results.task, metric, of_group(arrays, str(place))))
            for place, site in enumerate(names)
            if f"{place}/score" in arrays
        ]
    except (KeyError, IndexError, ValueError, TypeError, OSError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None


def _of_site(task: str, metric: str, arrays: Tensors) -> tuple[tuple[str, str], ...]:
    scores = arrays["score"].tolist()
    return tuple((f"{metric} {score:.3f}", as_png(_composed(task, arrays, row))) for row, score in enumerate(scores))


def caption(task: str, found: list[Gallery]) -> str:
    """Say what the pictures are."""
    return (
        f"Of {listed(gallery.site for gallery in found)}: the test image with the worst score, the middle one and the "
        f"best. {CAPTIONS[task]}"
    )


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    import safetensors
    import safetensors.numpy
    from safetensors import SafetensorError

    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise RunFolderError(f"{path} is larger than {LARGEST_BYTES} bytes: it holds more than some pictures")
        with safetensors.safe_open(path, framework="numpy") as opened:
            names = opened.metadata()["sites"].split("\n")
        return safetensors.numpy.load(path.read_bytes()), names
    except (SafetensorError, KeyError, TypeError, OSError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None


def _composed(task: str, arrays: Tensors, row: int) -> np.ndarray:
    """Return uint8 ``(H, W, 3)``."""
    if task == "restoration":
        tiles = [enlarged(arrays[name][row]) for name in ("seen", "answer", "clean")]
        gap = np.full((len(tiles[0]), GAP_PX, 3), 255, np.uint8)
        return np.concatenate([tiles[0], gap, tiles[1], gap, tiles[2]], axis=1)
    picture = enlarged(arrays["image"][row])
    for name, colour in (("answer", ANSWER), ("truth", TRUTH)):
        picture[_border(enlarged(arrays[name][row])[..., 0])] = colour
    return picture


def enlarged(picture: np.ndarray, tile_px: int = TILE_PX) -> np.ndarray:
    """Return a picture ``(H, W, C)`` in colour, its pixels repeated until its longer edge has `tile_px` or more."""
    factor = max(1, -(-tile_px // max(picture.shape[:2])))
    colours = np.broadcast_to(picture, (*picture.shape[:2], 3))
    return np.repeat(np.repeat(colours, factor, axis=0), factor, axis=1)


def _border(regions: np.ndarray) -> np.ndarray:
    """Return bool ``(H, W)``: pixels beside one of another region, two pixels wide in all."""
    edge = np.zeros(regions.shape, bool)
    for axis in (0, 1):
        differs = np.diff(regions.astype(np.int16), axis=axis) != 0
        lower, upper = [slice(None)] * 2, [slice(None)] * 2
        lower[axis], upper[axis] = slice(0, -1), slice(1, None)
        edge[tuple(lower)] |= differs
        edge[tuple(upper)] |= differs
    return edge
