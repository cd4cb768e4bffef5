"""Weights of Inception that a user supplies for FID: bytes from elsewhere, which have to fit this one network."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from wardround.data.readers.boundary import refusing
from wardround.errors import DataError
from wardround.tasks.models.inception import CLASSES, FEATURES, Inception

PUBLISHED_FILE = "pt_inception-2015-12-05-6726825d.pth"
PUBLISHED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the file that pytorch-fid and torch-fidelity distribute: TensorFlow's weights, as the field computes FID."""
LARGEST_BYTES = 2**27
COUNTER = ".num_batches_tracked"
WAY_OUT = f"give {PUBLISHED_FILE}, or its tensors as .safetensors"
IMAGENET_CLASSES = 1000
ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Weighted:
    """The network with a user's weights.

    Attributes:
        network: in evaluation mode, on the GPU where there is one.
        sha256: of the file.
    """

    network: Inception
    sha256: str

    @property
    def published(self) -> bool:
        """Whether the file is, byte for byte, the one that FID is computed with."""
        return self.sha256 == PUBLISHED_SHA256


def load_inception(path: Path) -> Weighted:
    """Return the network with the weights in a file.

    Nothing in the file is carried out: ``.pth`` is read with ``weights_only``.

    Args:
        path: ``.safetensors``, or ``.pth`` as ``torch.save`` writes a state; float32, with the port's names.

    Raises:
        DataError: the file cannot be read, is too large or damaged, or holds other weights than this network's.
    """
    read = READERS.get(path.suffix)
    if read is None:
        raise DataError(f"{path.name} is no {' or '.join(READERS)} file: {WAY_OUT}")
    try:
        with path.open("rb") as opened:
            content = opened.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): {WAY_OUT}") from None
    if len(content) > LARGEST_BYTES:
        raise DataError(f"{path.name} is larger than {LARGEST_BYTES} bytes, so it is not Inception's: {WAY_OUT}")
    with refusing(path.name, path.suffix):
        held = read(content)
    with torch.device("meta"):
        network = Inception()
    network.load_state_dict(_fitting(path.name, held, network.state_dict()), assign=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Weighted(network.requires_grad_(False).to(device).eval(), hashlib.sha256(content).hexdigest())


def _from_torch(content: bytes) -> Any:
    if content.startswith(ZIP_MAGIC):  # torch.save compresses nothing, torch.load would unpack anything
        entries = zipfile.ZipFile(io.BytesIO(content)).infolist()
        if sum(entry.file_size for entry in entries) > LARGEST_BYTES:
            raise ValueError("it unpacks to more than it may")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


READERS: Mapping[str, Callable[[bytes], Any]] = {".safetensors": safetensors.torch.load, ".pth": _from_torch}


def _fitting(name: str, held: Any, wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return what the network is to hold; the counters of BatchNorm, which old files lack, decide nothing.

    Raises:
        DataError: see `load_inception`.
    """
    if not isinstance(held, dict) or not all(isinstance(key, str) and _is_plain(held[key]) for key in held):
        raise DataError(f"{name} holds something else than names and tensors: {WAY_OUT}")
    needed = {key: value.shape for key, value in wanted.items() if not key.endswith(COUNTER)}
    found = {key: value.shape for key, value in held.items() if not (key.endswith(COUNTER) and key in wanted)}
    if found.get("fc.weight") == (IMAGENET_CLASSES, FEATURES):
        raise DataError(
            f"{name} has {IMAGENET_CLASSES} classes, as torchvision's Inception has, and FID is defined on another "
            f"training's weights with {CLASSES}: {WAY_OUT}"
        )
    if differ := sorted(key for key in needed.keys() | found.keys() if needed.get(key) != found.get(key)):
        raise DataError(f"{name} and FID's Inception differ in {_difference(differ, needed, found)}: {WAY_OUT}")
    if wide := sorted(key for key in needed if held[key].dtype != torch.float32):
        raise DataError(f"{name} holds {wide[0]} as {held[wide[0]].dtype}, not float32: {WAY_OUT}")
    if odd := sorted(key for key in needed if not _is_sound(key, held[key])):
        raise DataError(f"{name} holds a NaN, an infinity or a negative variance in {odd[0]}: {WAY_OUT}")
    counters = {key: torch.tensor(0) for key in wanted if key not in needed}
    return {key: held[key].detach().contiguous() for key in needed} | counters


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and not value.is_nested
        and value.layout is torch.strided
        and value.device.type == "cpu"
    )


def _is_sound(key: str, value: torch.Tensor) -> bool:
    return bool(value.isfinite().all()) and not (key.endswith(".running_var") and bool((value < 0).any()))


def _difference(differ: list[str], needed: Mapping[str, torch.Size], found: Mapping[str, torch.Size]) -> str:
    key = differ[0]
    says = {side: tuple(shapes[key]) if key in shapes else "absent" for side, shapes in (("h", found), ("n", needed))}
    more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
    return f"{key[:80]!r} ({says['h']} in the file, {says['n']} in the network){more}"
