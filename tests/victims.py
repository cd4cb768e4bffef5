"""A small victim: a network that gives everything away, and images behind its gradients."""

from __future__ import annotations

import numpy as np
import torch

from wardround.attacks import LocalSteps, Observation
from wardround.tasks.models import FlatCnn

SIZE_PX, CLASSES = 16, 3


def network(seed: int = 0) -> torch.nn.Module:
    """Return the victim's network."""
    torch.manual_seed(seed)
    return FlatCnn(16).build(3, CLASSES)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Return smooth pictures, float32 ``(count, 16, 16, 3)`` in [0, 1]: coarse noise, scaled up."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((count, 3, 4, 4), dtype=np.float32))
    fine = torch.nn.functional.interpolate(coarse, SIZE_PX, mode="bicubic").clamp(0, 1)
    return fine.permute(0, 2, 3, 1).contiguous().numpy()


def fed(images: np.ndarray) -> torch.Tensor:
    """Return pictures as the network is fed them."""
    return torch.from_numpy(images).permute(0, 3, 1, 2) * 4 - 2


def gradients(victim: torch.nn.Module, images: np.ndarray, labels: list[int]) -> list[torch.Tensor]:
    """Return the gradient of the mean loss."""
    loss = torch.nn.functional.cross_entropy(victim(fed(images)), torch.tensor(labels))
    return list(torch.autograd.grad(loss, list(victim.parameters())))


def observed(victim: torch.nn.Module, images: np.ndarray, labels: list[int]) -> Observation:
    """Return what a coordinator sees of one step on `images`."""
    shape = (3, SIZE_PX, SIZE_PX)
    return Observation.of_gradients(victim, gradients(victim, images, labels), shape, len(images))


def walked(victim: torch.nn.Module, images: np.ndarray, labels: list[int], work: LocalSteps) -> dict[str, torch.Tensor]:
    """Return the mean gradient of several local steps, taken by torch's own optimiser on a copy of the victim."""
    copy = network()
    copy.load_state_dict(victim.state_dict())
    optimiser = torch.optim.SGD(copy.parameters(), work.learning_rate, weight_decay=work.weight_decay)
    count = len(images) // work.steps
    for step in range(work.steps):
        rows = slice(step * count, (step + 1) * count)
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(copy(fed(images[rows])), torch.tensor(labels[rows]))
        torch.autograd.backward(loss)
        optimiser.step()
    scale = work.steps * work.learning_rate
    before = dict(victim.named_parameters())
    return {name: (before[name] - value).detach() / scale for name, value in copy.named_parameters()}
