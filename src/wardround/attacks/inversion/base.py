"""What every inversion attack takes and gives."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from wardround.attacks.inversion.observation import Observation
from wardround.data.images import LabelledImages


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What an attack made of an observation.

    Attributes:
        images: float32 ``(N, H, W, C)`` in ``[0, 1]``; in no particular order.
        labels: int64 ``(N,)``, what the attack took the labels to be.
        distance: what is left between the update they would have made and the one that was seen; NaN where the attack
            does not measure it.
        evaluations: candidate updates computed.
        seconds: spent.
    """

    images: np.ndarray
    labels: np.ndarray
    distance: float
    evaluations: int
    seconds: float


class Attack(Protocol):
    """Rebuilds images from what crossed the wire. All of them join one contract suite."""

    def run(self, seen: Observation, seed: int, labels: np.ndarray | None = None) -> Reconstruction:
        """Attack one observation; the same seed gives the same reconstruction.

        Args:
            seen: what the attacker holds.
            seed: of first guesses and of the attack's own randomness.
            labels: int64 ``(N,)``, where the attacker knows them from elsewhere; ``None`` recovers them.

        Raises:
            PlanError: this attack cannot be mounted on such an observation.
        """
        ...


@runtime_checkable
class Learner(Protocol):
    """An attack that learns from images of the kind it is after."""

    def taught(self, images: LabelledImages, seed: int) -> Attack:
        """Return the attack, ready to run.

        Args:
            images: public ones, which no update under attack is made of.
            seed: of what it learns.
        """
        ...


@dataclass(frozen=True)
class Budget:
    """How long an attack may go on.

    Attributes:
        steps: of its optimiser, in each restart.
        seconds: for all restarts together; 0 sets no limit. A run that it cuts short depends on the machine's speed.
        restarts: first guesses; the one that ends nearest counts.
    """

    steps: int
    seconds: float = 0.0
    restarts: int = 1


class Stopwatch:
    """Says when a budget is used up."""

    def __init__(self, budget: Budget) -> None:
        self._began = time.perf_counter()
        self._limit = budget.seconds

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return bool(self._limit) and self.seconds >= self._limit


def first_guesses(seen: Observation, seed: int, count: int, spread: float) -> torch.Tensor:
    """Return Gaussian noise around the middle of the range of pixels; each guess has a generator of its own.

    Args:
        seen: says how many images of which shape.
        seed: of the first guess; the next one has the next seed.
        count: of guesses.
        spread: standard deviation, as a share of half the range.

    Returns:
        float ``(count, num_images, C, H, W)``, as the network is fed it.
    """
    low, high = seen.limits
    shape = (seen.num_images, *seen.shape)
    noise = [
        torch.randn(shape, generator=torch.Generator().manual_seed(seed + index), dtype=seen.dtype)
        for index in range(count)
    ]
    return (low + high) / 2 + spread * (high - low) / 2 * torch.stack(noise)


def as_images(seen: Observation, inputs: torch.Tensor) -> np.ndarray:
    """Return the network's inputs ``(N, C, H, W)`` as float32 images ``(N, H, W, C)`` in ``[0, 1]``."""
    unit: np.ndarray = seen.in_unit(inputs.detach()).permute(0, 2, 3, 1).float().cpu().numpy()
    return np.ascontiguousarray(unit)
