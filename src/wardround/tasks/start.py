"""Weights that a user supplies for training to start from: public ones, or a plan that trains privately leaks them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError
from torch import nn

from wardround.core.update import Tensors, all_finite
from wardround.errors import PlanError
from wardround.tasks.classification import by_slot, weights_of
from wardround.tasks.inputs import name_of_head

LARGEST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Start:
    """The ``[start]`` table: a file of weights, the same at every party.

    Attributes:
        file: a ``.safetensors`` file, sought below the data root (``--data``, ``WARDROUND_DATA``) at the coordinator
            and at every site. The names are the network's own. Weights of the head may be missing, or be of another
            shape, for other classes: they then start at random.
        sha256: of the file, 64 hexadecimal digits, so that all parties start from the same bytes.
    """

    file: str
    sha256: str

    def __post_init__(self) -> None:
        if not self.file:
            raise PlanError("[start] file is empty: name the weights, or take the table out")
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise PlanError("[start] sha256 is not 64 hexadecimal digits in lower case: sha256sum FILE prints them")

    def load(self, root: Path | None) -> Tensors:
        """Read the file.

        Args:
            root: the data root; ``None`` counts a relative file from the working directory.

        Returns:
            The network's own name -> float array; integer counters are left out.

        Raises:
            PlanError: the file is absent, another one, no safetensors file, or holds a NaN or an infinity.
        """
        path = Path(self.file) if root is None else root / self.file
        try:
            if path.stat().st_size > LARGEST_BYTES:
                raise PlanError(f"[start] file {path.name} is larger than {LARGEST_BYTES} bytes: it is no such network")
            content = path.read_bytes()
        except OSError as error:
            raise PlanError(
                f"[start] file {self.file} cannot be read ({error.strerror}): put it below the data root"
            ) from None
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise PlanError(f"[start] file {self.file} is not the one that the plan names: its SHA-256 differs")
        try:
            weights = safetensors.numpy.load(content)
        except (SafetensorError, KeyError, ValueError) as error:
            raise PlanError(f"[start] file {self.file} is no safetensors file of floats ({error})") from None
        weights = {name: value for name, value in weights.items() if np.issubdtype(value.dtype, np.floating)}
        if not all_finite(weights.values()):
            raise PlanError(f"[start] file {self.file} holds a NaN or an infinity: supply other weights")
        return weights


def start_from(network: nn.Module, weights: Tensors) -> None:
    """Write supplied weights into a freshly made network.

    Args:
        network: changed in place.
        weights: the network's own name -> array; nothing leaves the network as it is.

    Raises:
        PlanError: a weight is missing, of another shape or unknown, and does not belong to the head.
    """
    if not weights:
        return
    own = by_slot(weights_of(network))
    head = name_of_head(network) + "."
    fitting = {n: v for n, v in weights.items() if n in own and own[n].shape == v.shape}
    if strange := sorted(n for n in own.keys() | weights.keys() if n not in fitting and not n.startswith(head)):
        raise PlanError(
            f"[start] the file and the network of the plan differ in {strange[0]}: correct [model] or the file"
        )
    slots = dict(network.named_parameters()) | dict(network.named_buffers())
    with torch.no_grad():
        for name, value in fitting.items():
            slots[name].copy_(torch.from_numpy(np.array(value)))
