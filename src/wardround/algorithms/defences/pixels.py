"""Noise on images: white, or shaped like the images themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from wardround.algorithms.defences.base import AIMS, Batch, RunningDefence, Scene, refuse_outside, refuse_unknown
from wardround.algorithms.defences.energy import disguised
from wardround.algorithms.defences.secret import DRAWS, RANDOMNESS, Secret
from wardround.algorithms.defences.spectrum import Spectrum
from wardround.core.update import Tensors
from wardround.errors import PlanError

MOST_RMS = 0.4
MOST_EXPONENT = 2.0
Draw = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]
"""Shape ``(C, H, W)`` and a generator in, noise out; only its direction counts."""


@dataclass(frozen=True)
class GaussianImages:
    """White Gaussian noise on every image: the yardstick of noise that aims nowhere.

    It gives no (epsilon, delta): what a step tells of an image is not bounded by it. `[privacy]` does that.

    Attributes:
        rms: root mean square of the change after pixels were cut off, as a share of their range; in (0, 0.4].
        draw: ``once``: an image meets the same noise in every round; ``each_round``: new noise each time.
        randomness: ``system``: nobody can compute the noise; ``seed``: from the plan's seed, for studies: whoever knows
            the plan can subtract it.
    """

    disguises: ClassVar[bool] = True

    rms: float = 0.1
    draw: str = "once"
    randomness: str = "system"

    def __post_init__(self) -> None:
        _refuse_noise(self.rms, self.draw, self.randomness)

    def begin(self, scene: Scene) -> RunningDefence:
        """Start a round."""
        secret = Secret(scene.ctx, scene.memory, self.randomness, self.draw)
        return RunningNoise(self.rms, secret, lambda shape, rng: rng.standard_normal(shape))


@dataclass(frozen=True)
class MatchedNoise:
    """Noise with the images' own spectrum, so that no filter can tell the two apart. The design is of this project.

    An attacker who knows everything but the draw does no better than the Wiener filter if images are Gaussian with
    covariance S and the noise has covariance N: an error of ``tr S (S + N)^-1 N``. For a given energy ``tr N`` that is
    largest where N is a multiple of S. White noise lies mostly in directions where images have next to nothing, and is
    taken out there. Images are not Gaussian and an eye does not count squares, so the power of S is a setting; its
    default was chosen on images of which no result is reported (experiments/inversion-defences). Mean brightness and
    colour, which hide nothing, get no noise.

    It gives no (epsilon, delta).

    Attributes:
        rms: as in `GaussianImages`.
        exponent: power of the images' spectrum that the noise has, in [0, 2]: 0 is white, 1 is the images' own.
        draw: as in `GaussianImages`.
        aim: ``matched``; the others are controls: ``shuffled`` puts the same noise's pixels anywhere, ``anti`` gives
            the power of the strongest direction to the weakest, and so on.
        randomness: as in `GaussianImages`.
    """

    disguises: ClassVar[bool] = True

    rms: float = 0.1
    exponent: float = 0.75
    draw: str = "once"
    aim: str = "matched"
    randomness: str = "system"

    def __post_init__(self) -> None:
        _refuse_noise(self.rms, self.draw, self.randomness)
        if not 0 <= self.exponent <= MOST_EXPONENT:
            raise PlanError(f"defence exponent = {self.exponent} is outside [0, {MOST_EXPONENT:g}]")
        refuse_unknown("aim", self.aim, AIMS)

    def begin(self, scene: Scene) -> RunningDefence:
        """Measure the spectrum of the site's images, and start a round."""
        secret = Secret(scene.ctx, scene.memory, self.randomness, self.draw)
        spectrum = Spectrum.of(scene.images).to_the(self.exponent)
        spectrum = spectrum.reversed() if self.aim == "anti" else spectrum

        def noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
            drawn = spectrum.draw(rng)
            return shuffled(drawn, rng) if self.aim == "shuffled" else drawn

        return RunningNoise(self.rms, secret, noise)


class RunningNoise(RunningDefence):
    """Additive noise of a given energy, drawn for each image from its own generator."""

    def __init__(self, rms: float, secret: Secret, noise: Draw) -> None:
        self._rms = rms
        self._secret = secret
        self._noise = noise

    def disguise(self, batch: Batch) -> torch.Tensor:
        """Return the images with their noise."""
        shape = tuple(batch.inputs.shape[1:])
        drawn = [self._noise(shape, self._secret.generator("noise", row)) for row in batch.rows]
        return disguised(batch.inputs, torch.from_numpy(np.stack(drawn)).to(batch.inputs), self._rms)

    def keep(self) -> Tensors:
        """Return the site's key."""
        return self._secret.keep()


def shuffled(noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return noise ``(C, H, W)`` with its pixels in another order; a pixel's channels stay together."""
    flat = noise.reshape(len(noise), -1)
    return np.ascontiguousarray(flat[:, rng.permutation(flat.shape[1])].reshape(noise.shape))


def _refuse_noise(rms: float, draw: str, randomness: str) -> None:
    refuse_outside("rms", rms, 0, MOST_RMS)
    refuse_unknown("draw", draw, DRAWS)
    refuse_unknown("randomness", randomness, RANDOMNESS)
