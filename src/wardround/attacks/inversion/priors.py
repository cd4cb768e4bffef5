"""What an attacker believes of images before seeing an update; each is a penalty that is small for likely images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from wardround.attacks.inversion.observation import Observation

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def total_variation(images: torch.Tensor) -> torch.Tensor:
    """Return each member's mean absolute difference of neighbouring pixels, ``(R,)``; images ``(R, N, C, H, W)``."""
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().flatten(1).mean(1)
    across = (images[..., 1:] - images[..., :-1]).abs().flatten(1).mean(1)
    return down + across


def energy(images: torch.Tensor) -> torch.Tensor:
    """Return each member's mean square of the pixels, ``(R,)``."""
    return images.pow(2).flatten(1).mean(1)


def disagreement(images: torch.Tensor) -> torch.Tensor:
    """Return how far each candidate for the same images lies from the group's mean, ``(R,)`` (Yin et al. 2021).

    Without the registration of that paper: candidates of one batch start from guesses that are not shifted.

    Args:
        images: ``(restarts, N, C, H, W)``.
    """
    return (images - images.mean(0, keepdim=True)).pow(2).flatten(1).mean(1)


def batch_statistics(seen: Observation) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return layer name -> mean and variance of the batch that moved its running statistics; empty without BatchNorm.

    A running statistic goes from `old` to ``(1 - m) old + m batch``, so ``batch = old + change / m``. Under several
    local steps this is a mean over them.
    """
    found = {}
    for name, module in seen.network.named_modules():
        if not isinstance(module, BATCH_NORMS) or module.running_mean is None or module.running_var is None:
            continue
        changes = [seen.statistics.get(f"{name}.{kind}") for kind in ("running_mean", "running_var")]
        if changes[0] is None or changes[1] is None or not module.momentum:
            continue
        share = 1 - (1 - module.momentum) ** seen.work.steps
        found[name] = (module.running_mean + changes[0] / share, module.running_var + changes[1] / share)
    return found


@contextmanager
def statistics_of(
    network: nn.Module, layers: dict[str, tuple[torch.Tensor, torch.Tensor]]
) -> Iterator[list[torch.Tensor]]:
    """Within the block, collect how far each forward pass's batch statistics are from those of `layers`."""
    far: list[torch.Tensor] = []

    def compare(name: str) -> torch.utils.hooks.RemovableHandle:
        mean, variance = layers[name]

        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            values = inputs[0].transpose(0, 1).flatten(1)
            far.append((values.mean(1) - mean).norm() + (values.var(1) - variance).norm())

        return network.get_submodule(name).register_forward_pre_hook(hook)

    handles = [compare(name) for name in layers]
    try:
        yield far
    finally:
        for handle in handles:
            handle.remove()
