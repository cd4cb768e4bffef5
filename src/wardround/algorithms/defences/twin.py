"""The attacker's twin at the site: a small generator that tries to rebuild the site's own images from its gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad

from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.tasks.inputs import to_input

LATENT = 8
WIDTH = 16
FIT_BATCH = 16
FIT_RATE = 2e-3


class Twin(nn.Module):
    """A convolutional autoencoder whose decoder plays the part of the paper's StyleGAN3: latent code in, image out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(channels, WIDTH, 4, 2, 1), nn.GELU(), nn.Conv2d(WIDTH, LATENT, 4, 2, 1))
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENT, 2 * WIDTH, 3, 1, 1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * WIDTH, WIDTH, 3, 1, 1),
            nn.GELU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(WIDTH, channels, 3, 1, 1),
        )

    def rebuilt(self, code: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """Return images ``(B, C, H, W)`` of the given height and width for codes ``(B, L, h, w)``."""
        made: torch.Tensor = self.decoder(code)
        return made if made.shape[2:] == size else nn.functional.interpolate(made, size)


def twin_of(images: LabelledImages, memory: Tensors, steps: int, seed: int) -> Twin:
    """Return the twin that the site kept, else a new one that has learned the site's images as an autoencoder.

    Args:
        images: the site's.
        memory: arrays of an earlier twin; may be empty.
        steps: of the fit of a new one; 0 leaves it untrained.
        seed: of its weights and batches.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        twin = Twin(images.shape[2])
    if memory:
        twin.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in memory.items()})
        return twin
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(twin.parameters(), FIT_RATE)
    for _ in range(steps):
        inputs = to_input(images.fed(rng.integers(0, len(images), FIT_BATCH)))
        loss = (twin.rebuilt(twin.encoder(inputs), inputs.shape[2:]) - inputs).pow(2).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return twin


def attacked_by(
    twin: Twin,
    module: nn.Module,
    code: torch.Tensor,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
    learning_rate: float,
) -> torch.Tensor:
    """Train the twin's decoder to make the batch's gradient, and return what it rebuilds, ``(B, C, H, W)``.

    The loss and its weights are those of the released code but for BatchNorm's statistics: 1e-2 of the distances of the
    layers' gradients, 1e-5 of the total variation, 1e2 of the length over the squared number of pixels, and the squared
    error to the image itself, which a real attacker does not have.

    Args:
        twin: changed in place.
        module: whose gradient it is; left as it is.
        code: ``(B, L, h, w)``.
        inputs: the true images.
        labels: of them.
        steps: of Adam.
        learning_rate: of Adam.
    """
    weights = {name: value.detach() for name, value in module.named_parameters() if value.requires_grad}

    def loss_of(values: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(functional_call(module, values, (images,)), labels)

    true = {name: value.detach() for name, value in grad(loss_of)(weights, inputs).items()}
    optimiser = torch.optim.Adam(twin.decoder.parameters(), learning_rate)
    pixels = inputs.shape[2] * inputs.shape[3]
    for _ in range(steps):
        made = twin.rebuilt(code, inputs.shape[2:])
        slopes = grad(loss_of)(weights, made)
        far = sum(((slopes[name] - true[name]).norm() for name in true), torch.zeros((), device=inputs.device))
        rough = (made[..., 1:, :] - made[..., :-1, :]).norm() + (made[..., 1:] - made[..., :-1]).norm()
        loss = 1e-2 * far + 1e-5 * rough + 1e2 * made.norm() / pixels**2 + (made - inputs).pow(2).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss, inputs=list(twin.decoder.parameters()))
        optimiser.step()
    return twin.rebuilt(code, inputs.shape[2:]).detach()
