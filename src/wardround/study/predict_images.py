"""Applies the model of a finished run whose answers are images: masks, or restored images, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wardround.core.files import write_atomically
from wardround.errors import DataError, InputError, PlanError
from wardround.study.folder import RunFolder
from wardround.study.predict import loaded, pixels_of, size_of
from wardround.tasks import Segmentation, Task
from wardround.tasks.inputs import to_input

COLOURS = ((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0))
"""Of regions, the background first; further ones begin again."""


@dataclass(frozen=True)
class PredictedImage:
    """What the model answered for one image.

    Attributes:
        file: the image.
        answer: the PNG that was written: a palette whose index is the region, or grey levels.
        shares: region -> share of the image's pixels; empty for a restored image.
    """

    file: Path
    answer: Path
    shares: dict[str, float]


def predict_images(run: Path, files: Sequence[Path], out: Path, site: str | None = None) -> list[PredictedImage]:
    """Apply a run's model to image files, and write one PNG for each.

    Masks of pictures have the picture's own size; those of other files, and restored images, are squares of the size
    that the network is fed. A restoration is given images as the scanner saw them.

    Args:
        run: folder of a run that is done.
        files: as for `predict.predict`.
        out: folder of the PNG files; made if it is not there.
        site: as for `predict.predict`.

    Returns:
        One answer for each file, in their order.

    Raises:
        RunFolderError: as for `predict.predict`.
        DataError: a file is missing or is no image; then nothing is written.
        PlanError: the run's answers are no images.
        InputError: two answers would have one name, or a file of that name is there.
    """
    import torch

    folder = RunFolder(run)
    plan = folder.plan()
    if plan.learns.answers != "pixel":
        raise PlanError(f"the answers of a {plan.learns.name} are no images: leave --out away")
    task, network = loaded(folder, plan, site)
    ending = "mask" if isinstance(task, Segmentation) else "restored"
    targets = _targets(files, out, ending)
    found: list[tuple[PredictedImage, bytes]] = []
    for file, target in zip(files, targets, strict=True):
        with torch.inference_mode():
            answer = task.answer(network, to_input(np.stack([pixels_of(file, plan, task.channels)])))[0]
        found.append((PredictedImage(file, target, _shares(task, answer)), _png(task, answer, _own_size(file))))
    try:
        out.mkdir(parents=True, exist_ok=True)
        for predicted, content in found:
            write_atomically(predicted.answer, content)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another --out") from None
    return [predicted for predicted, _ in found]


def _targets(files: Sequence[Path], out: Path, ending: str) -> list[Path]:
    targets = [out / f"{file.stem}-{ending}.png" for file in files]
    for place, target in enumerate(targets):
        if target in targets[:place]:
            raise InputError(f"two of the files would be answered by {target}: give them one after the other")
        if target.exists():
            raise InputError(f"{target} exists: choose another --out, or remove it")
    return targets


def _shares(task: Task, answer: np.ndarray) -> dict[str, float]:
    return {name: float(np.mean(answer == region)) for region, name in enumerate(task.classes)}


def _own_size(file: Path) -> tuple[int, int] | None:
    try:
        with file.open("rb") as opened:
            width, height = size_of(opened)
            return (width, height) if width else None
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): check the path") from None


def _png(task: Task, answer: np.ndarray, size: tuple[int, int] | None) -> bytes:
    from PIL import Image

    if isinstance(task, Segmentation):
        picture = Image.fromarray(answer)
        picture.putpalette([level for region in range(256) for level in COLOURS[region % len(COLOURS)]])
        picture = picture.resize(size, Image.Resampling.NEAREST) if size else picture
    else:
        picture = Image.fromarray(np.rint(answer[..., 0] * 255).astype(np.uint8))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()
