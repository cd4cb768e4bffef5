"""Random weights in the shape of FID's Inception: small as a file, because all convolutions are cut from one noise."""

from __future__ import annotations

import torch

from wardround.tasks.models.inception import Inception


def inception_state(seed: int = 1) -> dict[str, torch.Tensor]:
    """Return float32 tensors under the names of the published file, counters included; levels neither die nor grow."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Inception().state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(max(shape.numel() for shape in shapes.values()), generator=generator)
    state = {}
    for name, shape in shapes.items():
        kind = name.rsplit(".", 1)[1]
        if kind == "num_batches_tracked":
            state[name] = torch.tensor(0)
        elif len(shape) > 1:
            state[name] = noise[: shape.numel()].view(shape)
        elif kind == "running_var":
            fan_in = shapes[name.replace("bn.running_var", "conv.weight")][1:].numel()
            state[name] = fan_in * (0.3 + 0.4 * torch.rand(shape, generator=generator))
        else:
            state[name] = 0.2 * torch.randn(shape, generator=generator) + (kind == "weight")
    return state


def inception_network(seed: int = 1) -> Inception:
    """Return the network with these weights."""
    network = Inception()
    network.load_state_dict(inception_state(seed))
    return network.eval()
