"""What a network's head is fed: the features that its body makes of images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from wardround.tasks.inputs import name_of_head


@contextmanager
def features_seen(network: nn.Module, wanted: bool = True) -> Iterator[list[np.ndarray]]:
    """Collect what the head is fed while the block runs, float32 ``(B, F)`` a batch, in the order of the images.

    Nothing is collected where it is not `wanted`, where the network has no linear head, or where that is fed more than
    one vector for each image.
    """
    seen: list[np.ndarray] = []
    name = name_of_head(network)
    if not wanted or not name:
        yield seen
        return

    def collect(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].ndim == 2:
            seen.append(inputs[0].detach().float().cpu().numpy())

    hook = network.get_submodule(name).register_forward_pre_hook(collect)
    try:
        yield seen
    finally:
        hook.remove()
