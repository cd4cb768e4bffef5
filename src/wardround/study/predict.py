"""Applies the model of a finished run to new images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy
from safetensors import SafetensorError

from wardround.core.update import Tensors, in_group
from wardround.data.catalogue import Manifest, MedMnist, Slide
from wardround.data.catalogue.medmnist import fitted
from wardround.data.catalogue.slide import stretched, without_dab
from wardround.data.decode import FORMATS, MAX_PIXELS, decode_image
from wardround.data.degraded import to_grey
from wardround.errors import DataError, PlanError, RunFolderError, SiteError
from wardround.rounds.model_file import MODEL_FILE
from wardround.rounds.plan import Plan
from wardround.rounds.store import SiteStore
from wardround.study.folder import RunFolder
from wardround.tasks import Restore, Synthesis, Task
from wardround.tasks.base import EVALUATION_BATCH, batches
from wardround.tasks.classification import by_slot, load_weights, weights_of
from wardround.tasks.inputs import to_input

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Prediction:
    """What the model says about one image.

    Attributes:
        file: the image.
        probabilities: class -> probability, in the order of the network's outputs; they sum to one.
    """

    file: Path
    probabilities: Mapping[str, float]

    @property
    def predicted(self) -> str:
        """The most probable class; the first of equals."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


def predict(run: Path, files: Sequence[Path], site: str | None = None) -> list[Prediction]:
    """Apply a run's model to image files, which are brought to the size and channels of the run's own images.

    Files of a run on the embedded slide are patches as a scanner records them, with white brought to 255; the DAB stain
    is taken off here.

    Args:
        run: folder of a run that is done.
        files: PNG, JPEG or TIFF; for a run on a manifest also DICOM and NIfTI, harmonised as its images were.
        site: whose model to use where part of the weights is personal (FedBN, ``local``); the shared model otherwise
            is the same for every site.

    Returns:
        One prediction for each file, in their order.

    Raises:
        RunFolderError: the folder holds no finished run, its model is damaged, or a site must be named.
        DataError: a file is missing or is no image.
        PlanError: the run's answers are images; see `predict_images`.
    """
    import torch

    folder = RunFolder(run)
    plan = folder.plan()
    if plan.learns.answers != "image":
        raise PlanError(f"the answers of a {plan.learns.name} are images: say with --out where to put them")
    task, network = loaded(folder, plan, site)
    found: list[Prediction] = []
    for rows in batches(len(files), EVALUATION_BATCH):
        chosen = [files[row] for row in rows]
        pixels = np.stack([pixels_of(file, plan, task.channels) for file in chosen])
        with torch.inference_mode():
            probabilities = task.answer(network, to_input(pixels)).tolist()
        found += [
            Prediction(file, dict(zip(task.classes, row, strict=True)))
            for file, row in zip(chosen, probabilities, strict=True)
        ]
    return found


def loaded(folder: RunFolder, plan: Plan, site: str | None, shared_only: bool = False) -> tuple[Task, nn.Module]:
    """Return the task and the network in evaluation mode, with the weights of the run and of the site.

    With `shared_only` no site has to be named: the weights that stayed at sites are those of the plan's seed.
    """
    summary = folder.summary()
    if summary.get("status") != "done":
        raise RunFolderError(f"{folder.path} holds no model, its run stopped: finish it with --resume")
    path = folder.path / MODEL_FILE
    if plan.pipeline.opens_at_sites and not path.exists():
        raise RunFolderError(
            f"{path} does not exist, because the coordinator of this run never saw the model: copy it here from a "
            f"site, where it is {folder.store_root.name}/SITE/{MODEL_FILE} below WARDROUND_STORE"
        )
    content = _content(path)
    if hashlib.sha256(content).hexdigest() != summary.get("model_sha256"):
        raise RunFolderError(f"{path} is not the model that summary.json names: its SHA-256 differs")
    weights, task, personal = _read_model(path, content, plan)
    network = _built(task, plan.seed, weights, path)
    load_weights(network, in_group(weights, "net"))
    if site is not None and site not in _sites(summary):
        raise RunFolderError(f"site {site!r} is not in the run: choose from {', '.join(_sites(summary))}")
    if personal and site is None and not shared_only:
        raise RunFolderError(
            f"part of the weights of {folder.path} is each site's own: name a site, {', '.join(_sites(summary))}"
        )
    if personal and site is not None:
        load_weights(network, _memory(folder, site, personal, weights_of(network)))
    return task, network.eval()


def loaded_generator(folder: RunFolder) -> tuple[Synthesis, nn.Module]:
    """Return a run's task and its networks in evaluation mode; a discriminator that stayed at its site is untrained.

    Raises:
        PlanError: the run learned something else than to make images.
        RunFolderError: as for `loaded`.
    """
    plan = folder.plan()
    task, network = loaded(folder, plan, None, shared_only=True)
    if not isinstance(task, Synthesis):
        raise PlanError(
            f"the run learned {plan.learns.name} and makes no images: train one with wardround init --task synthesis"
        )
    return task, network


def _sites(summary: dict[str, Any]) -> list[str]:
    return list(summary.get("sites", {}))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read ({error.strerror}): remake the run") from None


def _read_model(path: Path, content: bytes, plan: Plan) -> tuple[Tensors, Task, frozenset[str]]:
    """Return the weights, the task they solve and the names of the personal weights."""
    try:
        weights = safetensors.numpy.load(content)
        with safetensors.safe_open(path, framework="numpy") as opened:
            facts = json.loads(opened.metadata()["wardround"])
        task = plan.learns.task(plan.model, int(facts["channels"]), tuple(map(str, facts["classes"])))
        return weights, task, frozenset(facts["personal"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{path} is no model of this package ({error}): remake the run") from None


def _built(task: Task, seed: int, weights: Tensors, path: Path) -> nn.Module:
    network = task.build(seed)
    shapes = {name: value.shape for name, value in by_slot(weights_of(network)).items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise RunFolderError(f"{path} does not hold the weights of the network in plan.toml: remake the run")
    return network


def _memory(folder: RunFolder, site: str, personal: frozenset[str], template: Tensors) -> Tensors:
    """Return a site's own weights after the last of its rounds that counted; `template` has their shapes."""
    last = max((record.memories[site] for record in folder.records() if site in record.memories), default=-1)
    where = folder.store_root / site
    if last < 0:
        raise RunFolderError(f"site {site!r} never trained in {folder.path}, so it has no model of its own")
    try:
        memory = SiteStore(where).read(last)
    except SiteError as error:
        raise RunFolderError(
            f"{where} does not hold the weights of site {site!r}, which stay with it: {error}"
        ) from None
    for name in personal:
        if name not in memory or memory[name].shape != template[name].shape:
            raise RunFolderError(
                f"{where} does not hold {name} in the shape of the network in plan.toml: remake the run"
            )
    return {name: memory[name] for name in personal}


def channels_of(run: Path, store: Path | None = None) -> int:
    """Return the channels of a run's images, as its trained model says; it may lie in a site's store alone.

    Raises:
        RunFolderError: there is no model.
    """
    for path in (run / MODEL_FILE, *([store / MODEL_FILE] if store else [])):
        if path.exists():
            return _read_model(path, _content(path), RunFolder(run).plan())[1].channels
    raise RunFolderError(
        f"{run / MODEL_FILE} does not exist, and only the model tells how images were read: finish the run"
    )


def pixels_of(file: Path, plan: Plan, channels: int) -> np.ndarray:
    """Return the pixels of an image file, read as the plan's source reads its own images.

    Returns:
        uint8 ``(size_px, size_px, channels)``.

    Raises:
        DataError: the file is missing or is no image.
    """
    grey = isinstance(plan.learns, Restore)  # which reads colours and turns them grey; a grey picture stays what it is
    try:
        opened = file.open("rb")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): check the path") from None
    with opened:
        pixels = read_as(plan.data.source, opened, str(file), 3 if grey else channels)
    return to_grey(pixels) if grey else pixels


@singledispatch
def read_as(source: Any, file: IO[bytes], name: str, channels: int) -> np.ndarray:
    """Read an image file as `source` reads its own images; sources that do it their own way are registered here.

    Returns:
        uint8 ``(source.size_px, source.size_px, channels)``.

    Raises:
        DataError: the file is no image.
    """
    return decode_image(file, name, source.size_px, channels)


@read_as.register
def _(source: MedMnist, file: IO[bytes], name: str, channels: int) -> np.ndarray:
    width, height = size_of(file)
    if width != height or width * height > MAX_PIXELS:  # MedMNIST's own images are small squares
        return decode_image(file, name, source.size_px, channels)
    return fitted(decode_image(file, name, width, channels), source.size_px)


@read_as.register
def _(source: Manifest, file: IO[bytes], name: str, channels: int) -> np.ndarray:
    return source.picture(Path(name))


@read_as.register
def _(source: Slide, file: IO[bytes], name: str, channels: int) -> np.ndarray:
    return stretched(without_dab(decode_image(file, name, source.size_px, channels)))


def size_of(file: IO[bytes]) -> tuple[int, int]:
    """Return width and height, ``(0, 1)`` if the file is no image, which `decode_image` then says."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS) as image:
            return image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0, 1
    finally:
        file.seek(0)
