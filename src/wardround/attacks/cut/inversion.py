"""Images from activations: what a body host can make of what it is sent.

Three adversaries. One has public images and a way to have images pass the head, and learns to turn activations back
(`DecoderAttack`; He et al. 2019, ACSAC, "black-box"). One has the head but no images, and seeks an image whose
activation is the one that it saw (`OptimisationAttack`; the same, "white-box", with total variation). Who has both lets
the second refine what the first found. A body host that is no coordinator, and whose plan seals heads and tails, has
neither; the floors say what knows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from wardround.attacks.cut.observation import CutObservation
from wardround.attacks.inversion.priors import total_variation
from wardround.metrics.image_quality import psnr_db, ssim
from wardround.tasks.inputs import HIGHEST, LOWEST

Head = Callable[[torch.Tensor], torch.Tensor]
"""Images ``(B, C, H, W)`` -> what a site would send for them, noise included."""

_LAST = 16


@dataclass(frozen=True)
class DecoderAttack:
    """A network that learns from public images to turn activations back.

    Attributes:
        steps: of training; it should have converged, which `DecoderAttack.run` returns the losses to tell by.
        batch_size: images in a step.
        learning_rate: of Adam, down to zero by a cosine.
        width: channels of the decoder.
        seed: of its weights and batches.
    """

    steps: int = 3000
    batch_size: int = 16
    learning_rate: float = 2e-3
    width: int = 48
    seed: int = 1

    def run(self, seen: CutObservation, head: Head, public: torch.Tensor) -> tuple[torch.Tensor, list[float]]:
        """Return the images that the observed activations were made of, as far as the decoder can tell.

        Args:
            seen: of the attacked site.
            head: of the attacked model.
            public: images ``(N, C, H, W)`` that are not the site's.

        Returns:
            Images ``(len(seen), C, H, W)`` and the loss of every step.
        """
        rng = np.random.default_rng(self.seed)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            scale = public.shape[-1] // seen.activations.shape[-1]
            decoder = _decoder(seen.activations.shape[1], public.shape[1], self.width, scale)
            losses = self._train(decoder, head, public, rng)
        decoder.eval()
        with torch.no_grad():
            parts = [decoder(part) for part in torch.split(seen.activations, self.batch_size)]
        return _fitted(torch.cat(parts), public.shape[2:]).clamp(LOWEST, HIGHEST), losses

    def _train(self, decoder: nn.Module, head: Head, public: torch.Tensor, rng: np.random.Generator) -> list[float]:
        optimiser = torch.optim.Adam(decoder.parameters(), self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        losses = []
        for _ in range(self.steps):
            images = public[torch.from_numpy(rng.integers(0, len(public), self.batch_size))]
            with torch.no_grad():
                activation = head(images)
            found = _fitted(decoder(activation), images.shape[2:])
            loss = nn.functional.l1_loss(found, images)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        return losses


@dataclass(frozen=True)
class OptimisationAttack:
    """Seeks an image whose activation is the observed one; needs no other image.

    Attributes:
        steps: of Adam.
        learning_rate: of Adam, down to zero by a cosine.
        smoothness: weight of the total variation.
    """

    steps: int = 600
    learning_rate: float = 0.1
    smoothness: float = 0.001

    def run(self, seen: CutObservation, head: Head, start: torch.Tensor) -> torch.Tensor:
        """Return images ``(len(seen), C, H, W)``.

        Args:
            seen: of the attacked site.
            head: of the attacked model, differentiable.
            start: where to begin: `from_nothing`, or what a decoder found, which it then refines.
        """
        guess = start.clone().to(memory_format=torch.channels_last).requires_grad_()
        optimiser = torch.optim.Adam([guess], self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        for _ in range(self.steps):
            distance = nn.functional.mse_loss(head(guess), seen.activations)
            loss = distance + self.smoothness * total_variation(guess[None])[0]
            (guess.grad,) = torch.autograd.grad(loss, guess)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                guess.clamp_(LOWEST, HIGHEST)
        return guess.detach()


def from_nothing(count: int, shape: tuple[int, int, int], seed: int = 1) -> torch.Tensor:
    """Return a first guess of `count` images ``(C, H, W)`` for who has none: faint noise."""
    return 0.1 * torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Likeness:
    """How much of the images was found, mean over images of levels from 0 to 1.

    Attributes:
        psnr_db: peak signal-to-noise ratio.
        ssim: structural similarity.
    """

    psnr_db: float
    ssim: float


def likeness(images: torch.Tensor, found: torch.Tensor) -> Likeness:
    """Compare what was found with the images, both as networks are fed, ``(N, C, H, W)``."""
    pairs = [(_levels(a), _levels(b)) for a, b in zip(images, found, strict=True)]
    return Likeness(float(np.mean([psnr_db(a, b) for a, b in pairs])), float(np.mean([ssim(a, b) for a, b in pairs])))


def mean_image(images: torch.Tensor, public: torch.Tensor) -> torch.Tensor:
    """Return the floor of who saw nothing: the mean of public images, for each of `images`."""
    return public.mean(dim=0, keepdim=True).expand_as(images)


def thumbnails(images: torch.Tensor, edge_px: int = 8) -> torch.Tensor:
    """Return the images as a thumbnail would show them, enlarged again: what little detail is worth."""
    small = nn.functional.adaptive_avg_pool2d(images, edge_px)
    return nn.functional.interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)


def _decoder(channels: int, image_channels: int, width: int, scale: int) -> nn.Module:
    """Return a network that enlarges by `scale`; doublings rearrange channels, and the last leaves few, to be quick."""
    doublings = round(math.log2(max(scale, 1)))
    layers: list[nn.Module] = [*_convolution(channels, width), *_convolution(width, width), *_convolution(width, width)]
    for _ in range(doublings - 1):
        layers += [*_convolution(width, 4 * width), nn.PixelShuffle(2), *_convolution(width, width)]
    if doublings:
        layers += [*_convolution(width, 4 * _LAST), nn.PixelShuffle(2)]
    return nn.Sequential(*layers, nn.Conv2d(_LAST if doublings else width, image_channels, 3, padding=1))


def _convolution(fan_in: int, fan_out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU()


def _fitted(images: torch.Tensor, size: torch.Size) -> torch.Tensor:
    if images.shape[2:] == size:
        return images
    return nn.functional.interpolate(images, size=size, mode="bilinear", align_corners=False)


def _levels(image: torch.Tensor) -> np.ndarray:
    levels = (image.detach() - LOWEST) / (HIGHEST - LOWEST)
    return levels.clamp(0, 1).permute(1, 2, 0).double().numpy()
