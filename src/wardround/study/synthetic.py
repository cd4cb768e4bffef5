"""Synthetic images from a finished run: some for its report, or a folder of labelled ones for research."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
from torch import nn

from wardround.core.context import derive_seed
from wardround.core.files import write_atomically
from wardround.core.update import Tensors
from wardround.errors import InputError
from wardround.metrics.copies import LEAST_IMAGES, Copies, sought_copies
from wardround.study.build import joined, sites_of
from wardround.study.folder import RunFolder
from wardround.study.predict import loaded_generator
from wardround.tasks import Synthesis
from wardround.tasks.classification import load_weights
from wardround.tasks.random_features import random_features

SHEET_FILE = "synthetic.safetensors"
SHEET_EACH = 10
MANIFEST = "manifest.csv"
MOST_IMAGES = 100_000


def sheet(task: Synthesis, seed: int, weights: Tensors) -> dict[str, np.ndarray]:
    """Return a few synthetic images of each class for the report: the class's number -> uint8 ``(10, H, W, C)``.

    Args:
        task: what was learned.
        seed: of the plan.
        weights: ``net/…`` and ``stat/…`` of the trained model.
    """
    network = task.build(seed)
    load_weights(network, weights)
    return {str(place): drawn(task, network, place, SHEET_EACH, seed) for place in range(len(task.classes))}


def drawn(task: Synthesis, network: nn.Module, place: int, count: int, seed: int) -> np.ndarray:
    """Return `count` synthetic images of one class, uint8 ``(count, H, W, C)``; the same ones for the same seed."""
    rng = np.random.default_rng(derive_seed(seed, "synthetic", place))
    return task.draw(network, np.full(count, place, np.int64), rng)


def seek_copies(run: Path, data_root: Path | None, each: int, seed: int) -> dict[str, Copies]:
    """Seek training images among those that `synthesise` writes, by pixels and by random features.

    Held-out images are those of the validation part, which is dealt like the training part, or of the test part where
    that is too small.

    Args:
        run: folder of a finished run that learned to make images.
        data_root: where the plan's images are.
        each: images of each class.
        seed: of the noise.

    Returns:
        The distance by which was sought -> what was found.

    Raises:
        PlanError: the run learned something else.
        DataError: the images cannot be read, or are too few.
    """
    folder = RunFolder(run)
    task, network = loaded_generator(folder)
    made = np.concatenate([drawn(task, network, place, each, seed) for place in range(len(task.classes))])
    sites = sites_of(folder.plan(), data_root, whole=False).values()
    training, val, test = (joined([getattr(site, part) for site in sites]) for part in ("train", "val", "test"))
    held_out = (val if len(val) >= LEAST_IMAGES else test).batch(slice(None))
    found = {}
    for name, seen in (("pixels", _flat), ("random features", random_features)):
        rng = np.random.default_rng(derive_seed(seed, "copies"))
        found[name] = sought_copies(seen(made), seen(training.batch(slice(None))), seen(held_out), rng)
    return found


def _flat(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(np.float64)


def ready(run: Path, out: Path, each: int) -> tuple[Synthesis, nn.Module]:
    """Return a run's task and network, once it is known that images can be written.

    Raises:
        PlanError, RunFolderError, InputError: as for `synthesise`.
    """
    task, network = loaded_generator(RunFolder(run))
    if not 1 <= each <= MOST_IMAGES // len(task.classes):
        raise InputError(f"--each {each} is not between 1 and {MOST_IMAGES // len(task.classes)}")
    if out.exists():
        raise InputError(f"{out} exists: choose another --out")
    return task, network


def synthesise(run: Path, out: Path, each: int, seed: int) -> Path:
    """Write labelled synthetic images, one PNG for each, and a table that a manifest can name.

    Args:
        run: folder of a finished run with ``name = "synthesis"`` in ``[task]``.
        out: folder to make.
        each: images of each class.
        seed: of the noise.

    Returns:
        The path of the table.

    Raises:
        PlanError: the run learned something else.
        RunFolderError: the folder holds no finished run, or its model is damaged.
        InputError: `out` exists or cannot be written, or `each` is out of range.
    """
    from PIL import Image

    task, network = ready(run, out, each)
    rows = [("image", "label", "site", "patient")]
    try:
        out.mkdir(parents=True)
        for place, name in enumerate(task.classes):
            for number, image in enumerate(drawn(task, network, place, each, seed)):
                content = io.BytesIO()
                Image.fromarray(image if task.channels == 3 else image[..., 0]).save(content, "PNG")
                file = f"{place}-{number:06d}.png"
                write_atomically(out / file, content.getvalue(), sync=False)
                rows.append((file, name, "synthetic", f"nobody-{place}-{number}"))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_atomically(out / MANIFEST, text.getvalue().encode())
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another --out") from None
    return out / MANIFEST
