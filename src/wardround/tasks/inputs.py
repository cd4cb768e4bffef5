"""What a network is fed: images, or the features of a body that does not change."""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from wardround.data.images import LabelledImages
from wardround.errors import PlanError

HEAD = "head"
LOWEST, HIGHEST = -2.0, 2.0
"""Black and white as networks are fed them; see `to_input`."""
_KEPT_BLOCKS = 4


def to_input(pixels: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """Turn uint8 ``(B, H, W, C)`` into float32 ``(B, C, H, W)`` in [-2, 2], the scale every network here is fed."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div_(63.75).sub_(2.0)


def name_of_head(network: nn.Module) -> str:
    """Return the name of the child called ``head``, else of the last linear layer; empty if there is neither."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return HEAD if any(name == HEAD for name, _ in network.named_children()) else (names or [""])[-1]


@dataclass(frozen=True)
class TrainedPart:
    """What of a network is trained, and what it is fed.

    Attributes:
        module: the network; or its head, where nothing before the head is trained.
        prefix: what the names of the module's weights begin with in the network, ``""`` or ``"head."``.
        body: what makes the features that the head is fed; ``None`` where the module is fed images.
    """

    module: nn.Module
    prefix: str = ""
    body: FixedBody | None = None

    def inputs(self, images: LabelledImages, rows: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
        """Return what the module is fed for these rows of `images`: float32, the first dimension counts them."""
        if self.body is None:
            return to_input(images.fed(rows), device)
        return self.body.features(images, rows).to(device)

    def fed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return `inputs` ready for a backward pass.

        They ask for gradients where the first weights do not: torch 2.13 ends the process in GroupNorm's backward pass
        if a channels_last input needs no gradient while the norm's own weights do.
        """
        first = next(self.module.parameters())
        return inputs if first.requires_grad else inputs.requires_grad_()


def trained_part(network: nn.Module) -> TrainedPart:
    """Return the head and its fixed body if every trainable weight lies in the head, else the whole network.

    Weights that do not ask for gradients count as fixed. The network may come back in evaluation mode.
    """
    prefix = name_of_head(network) + "."
    trainable = [name for name, value in network.named_parameters() if value.requires_grad]
    if prefix == "." or not trainable or not all(name.startswith(prefix) for name in trainable):
        return TrainedPart(network)
    head = network.get_submodule(prefix.removesuffix("."))
    return TrainedPart(head, prefix, FixedBody(network, head, _digest_of_body(network, prefix)))


@dataclass(frozen=True)
class FixedBody:
    """A network up to its head, in evaluation mode, whose features are computed once for each image and kept.

    They are computed image by image, so that no bit of them depends on which others are asked for at the same time,
    and kept in memory as long as the block of pixels lives, for the blocks used last.

    Attributes:
        network: body and head.
        head: fed what is kept.
        digest: of all that decides the features.
    """

    network: nn.Module
    head: nn.Module
    digest: str

    def features(self, images: LabelledImages, rows: np.ndarray) -> torch.Tensor:
        """Return the head's inputs for these rows of `images`, float32 ``(len(rows), F)``.

        Raises:
            PlanError: the head is not the last step of the network, or is not fed one vector for each image.
        """
        block = _block_of(images.pixels, self.digest)
        wanted = images.rows[np.asarray(rows, np.int64)]
        self.network.eval()
        with torch.no_grad():
            for row in np.unique(wanted[~block.known[wanted]]).tolist():
                block.put(row, self._of_one(to_input(np.array(images.pixels[row : row + 1]), self._device)))
        return torch.from_numpy(block.values(wanted))

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _of_one(self, image: torch.Tensor) -> np.ndarray:
        fed: list[torch.Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
        try:
            logits = self.network(image)
        finally:
            hook.remove()
        if len(fed) != 1 or fed[0].ndim != 2 or not torch.equal(self.head(fed[0]), logits):
            raise PlanError(
                "the network does more after its last linear layer, or feeds it more than a vector for each image, so "
                'it has no head to train alone: say parts = "all" in [training]'
            )
        return fed[0][0].float().cpu().numpy()


class _Block:
    """Features of the images of one block of pixels, as far as they were asked for."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = weakref.ref(pixels)
        self.known = np.zeros(len(pixels), dtype=bool)
        self._values = np.zeros((len(pixels), 0), np.float32)

    def put(self, row: int, features: np.ndarray) -> None:
        if not self._values.shape[1]:
            self._values = np.zeros((len(self.known), len(features)), np.float32)
        self._values[row] = features
        self.known[row] = True

    def values(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._values[rows])


_BLOCKS: OrderedDict[tuple[int, str], _Block] = OrderedDict()


def _block_of(pixels: np.ndarray, digest: str) -> _Block:
    key = (id(pixels), digest)
    block = _BLOCKS.get(key)
    if block is None or block.pixels() is not pixels:  # another array may have come to lie at the same address
        block = _BLOCKS[key] = _Block(pixels)
    _BLOCKS.move_to_end(key)
    for gone in [k for k, kept in _BLOCKS.items() if kept.pixels() is None] + list(_BLOCKS)[:-_KEPT_BLOCKS]:
        _BLOCKS.pop(gone, None)
    return block


def _digest_of_body(network: nn.Module, head: str) -> str:
    digest = hashlib.sha256(str(network).encode())
    for name, value in _state(network):
        if not name.startswith(head):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _state(network: nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()
