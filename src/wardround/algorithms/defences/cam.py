"""Where a network looks: Grad-CAM++."""

from __future__ import annotations

import torch
from torch import nn

from wardround.errors import PlanError

_TINY = 1e-7


def last_convolution(network: nn.Module) -> nn.Module:
    """Return the last convolution.

    Raises:
        PlanError: there is none.
    """
    found = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if not found:
        raise PlanError("shadow needs a network with convolutions, to see where it looks: choose another [model]")
    return found[-1]


def grad_cam_pp(network: nn.Module, inputs: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return where a network looks for a class (Chattopadhay et al. 2018, WACV), after its last convolution.

    Args:
        network: gives logits ``(B, K)``, each image's without a look at the others.
        inputs: ``(B, C, H, W)``.
        classes: int64 ``(B,)``.

    Returns:
        float ``(B, H, W)``, each image's from 0 to 1; all 0 where nothing speaks for the class.
    """
    seen: list[torch.Tensor] = []
    hook = last_convolution(network).register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        with torch.enable_grad():
            scores = network(inputs.detach().requires_grad_()).gather(1, classes[:, None]).sum()
    finally:
        hook.remove()
    maps = seen[0]
    (slopes,) = torch.autograd.grad(scores, maps)
    maps, square, cube = maps.detach(), slopes.pow(2), slopes.pow(3)
    shares = square / (2 * square + (maps * cube).sum((2, 3), keepdim=True) + _TINY)
    weights = (shares * slopes.relu()).sum((2, 3), keepdim=True)
    cam = (weights * maps).sum(1, keepdim=True).relu()
    cam = nn.functional.interpolate(cam, inputs.shape[2:], mode="bilinear")[:, 0]
    low, high = cam.amin((1, 2), keepdim=True), cam.amax((1, 2), keepdim=True)
    return (cam - low) / (high - low).clamp_min(_TINY)
