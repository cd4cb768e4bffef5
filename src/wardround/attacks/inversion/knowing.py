"""The clean-up of an attacker who knows the defence: filters learned from public images under the same noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from wardround.algorithms.defences import Ats, Batch, Defence, Scene
from wardround.algorithms.defences.spectrum import covariances
from wardround.attacks.inversion.cleanup import CleanUp
from wardround.core.context import RoundContext
from wardround.data.images import LabelledImages
from wardround.tasks import Task
from wardround.tasks.inputs import HIGHEST, LOWEST, to_input

STEPS, BATCH, RATE = 300, 16, 3e-3
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Pairs:
    """What the attacker learns from: images that anybody has, and the same images behind the defence.

    Attributes:
        clean: float32 ``(N, H, W, C)`` in ``[0, 1]``.
        disguised: the same shape; the attacker made it, since the plan says how.
    """

    clean: np.ndarray
    disguised: np.ndarray


def pairs_behind(defence: Defence, task: Task, network: nn.Module, images: LabelledImages, ctx: RoundContext) -> Pairs:
    """Put public images behind a defence, as its site would: the plan says how, and only the draw is secret.

    Args:
        defence: of the plan.
        task: what is learned.
        network: as it was broadcast.
        images: public, or of other sites.
        ctx: round and length of the run; its seed is the attacker's own.
    """
    own: Any = defence
    if hasattr(own, "randomness"):
        own = dataclasses.replace(own, randomness="seed")
    running = own.begin(Scene(task, network, images, {}, ctx))
    blocks: list[torch.Tensor] = []
    for first in range(0, len(images), BATCH):
        rows = np.arange(first, min(first + BATCH, len(images)))
        batch = Batch(tuple(rows.tolist()), to_input(images.fed(rows)), task.targets(images, rows))
        blocks.append(running.disguise(batch))
    seen = ((torch.cat(blocks) - LOWEST) / (HIGHEST - LOWEST)).clamp(0, 1)
    clean = images.batch(np.arange(len(images))).astype(np.float32) / 255
    return Pairs(clean, np.ascontiguousarray(seen.permute(0, 2, 3, 1).numpy()))


class Wiener:
    """The linear filter with the smallest expected squared error, frequency by frequency of the cosine transform.

    For every frequency it knows the covariance of channels of images and of the noise, both measured on the pairs, and
    the mean of both. If images and noise are Gaussian and unlike from frequency to frequency, nothing does better.
    """

    def __init__(self, pairs: Pairs, looks: int = 1) -> None:
        """Measure.

        Args:
            pairs: public images.
            looks: reconstructions of the same image, each under noise of its own, whose mean is cleaned.
        """
        noise = pairs.disguised.astype(np.float64) - pairs.clean
        self._mean, self._offset = pairs.clean.mean(0, dtype=np.float64), noise.mean(0)
        power = covariances(_planes(pairs.clean - self._mean))
        hum = covariances(_planes(noise - self._offset)) / looks
        self._filter = power @ np.linalg.inv(power + hum + _TINY * np.eye(power.shape[-1]))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return one image ``(H, W, C)``, filtered."""
        from scipy.fft import dctn, idctn

        waves = dctn(image - self._offset - self._mean, axes=(0, 1), norm="ortho")
        kept = (self._filter @ waves[..., None])[..., 0]
        return np.asarray(idctn(kept, axes=(0, 1), norm="ortho") + self._mean)


class _Net(nn.Module):
    """A small U-Net that mends what the Wiener filter left."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2 * channels, 16, 3, 1, 1), nn.GELU())
        self.second = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.GELU(), nn.Conv2d(32, 32, 3, 1, 1), nn.GELU())
        self.third = nn.Sequential(nn.Conv2d(32, 64, 3, 2, 1), nn.GELU(), nn.Conv2d(64, 32, 3, 1, 1), nn.GELU())
        self.fourth = nn.Sequential(nn.Conv2d(64, 32, 3, 1, 1), nn.GELU(), nn.Conv2d(32, 16, 3, 1, 1), nn.GELU())
        self.last = nn.Conv2d(32, channels, 3, 1, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, seen: torch.Tensor, filtered: torch.Tensor) -> torch.Tensor:
        fine = self.first(torch.cat([seen, filtered], 1) - 0.5)
        middle = self.second(fine)
        coarse = nn.functional.interpolate(self.third(middle), middle.shape[2:])
        merged = nn.functional.interpolate(self.fourth(torch.cat([middle, coarse], 1)), fine.shape[2:])
        mended: torch.Tensor = filtered + self.last(torch.cat([fine, merged], 1))
        return mended


class Denoiser:
    """A network trained to undo the defence on public images; it is shown the image and its Wiener estimate."""

    def __init__(self, pairs: Pairs, wiener: Wiener, seed: int, steps: int = STEPS) -> None:
        """Train.

        Args:
            pairs: public images.
            wiener: fitted to the same pairs.
            seed: of weights and batches.
            steps: of Adam.
        """
        self._wiener = wiener
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._net = _Net(pairs.clean.shape[3])
        filtered = np.stack([wiener(one) for one in pairs.disguised])
        clean, seen, start = (_fed(values) for values in (pairs.clean, pairs.disguised, filtered))
        generator = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.Adam(self._net.parameters(), RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            rows = torch.randint(len(clean), (BATCH,), generator=generator)
            batch = _turned(torch.stack([clean[rows], seen[rows], start[rows]]), generator)
            loss = (self._net(batch[1], batch[2]) - batch[0]).pow(2).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return one image ``(H, W, C)``, mended."""
        with torch.no_grad():
            mended = self._net(_fed(image[None]), _fed(self._wiener(image)[None]))
        return np.asarray(mended[0].permute(1, 2, 0).numpy())


def knowing(pairs: Pairs, seed: int, looks: int = 1) -> dict[str, CleanUp]:
    """Return the clean-ups of an attacker who has such pairs, by name.

    Args:
        pairs: public images.
        seed: of the network.
        looks: as for `Wiener`; the network is trained for one look only, so that several have none.
    """
    wiener = Wiener(pairs, looks)
    return {"wiener": wiener, "learned": Denoiser(pairs, wiener, seed)} if looks == 1 else {"wiener": wiener}


def undoing(defence: Defence) -> dict[str, CleanUp]:
    """Return what takes back each change that a defence may have made; none where it adds noise.

    The attacker does not know which one met an image, and tries all.
    """
    if not isinstance(defence, Ats):
        return {}

    def clean_up(undo: Callable[[torch.Tensor], torch.Tensor]) -> CleanUp:
        def clean(image: np.ndarray) -> np.ndarray:
            fed = _fed(image[None]) * (HIGHEST - LOWEST) + LOWEST
            return np.asarray(((undo(fed) - LOWEST) / (HIGHEST - LOWEST))[0].permute(1, 2, 0).numpy())

        return clean

    return {f"undo {name}": clean_up(undo) for name, undo in defence.undone().items()}


def _planes(images: np.ndarray) -> np.ndarray:
    return np.moveaxis(images, 3, 1)


def _fed(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(_planes(images), np.float32))


def _turned(stack: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror a whole batch, or not: images and noise look alike in a mirror."""
    for axis in (-1, -2):
        if torch.rand((), generator=generator) < 0.5:
            stack = stack.flip(axis)
    return stack
