"""Defences that touch the update alone: noise on it, or only its largest numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wardround.algorithms.defences.base import RunningDefence, Scene, refuse_outside, refuse_unknown
from wardround.algorithms.defences.secret import RANDOMNESS
from wardround.core.update import Tensors
from wardround.privacy.words import Words

WEIGHTS = "net/"


@dataclass(frozen=True)
class GaussianUpdate:
    """White Gaussian noise on the update, as long as a share of the update itself.

    It is not differentially private, however much noise there is: nothing bounds what one image adds to an update, and
    the noise's own length follows the update's. For an (epsilon, delta) clip first and let a `noise` stage or `dpsgd`
    add noise in proportion to the clip, under `[privacy]`.

    Attributes:
        share: expected length of the noise over the length of the update, > 0.
        randomness: ``system``, or ``seed``: from the plan's seed, for studies.
    """

    disguises: ClassVar[bool] = False

    share: float = 0.1
    randomness: str = "system"

    def __post_init__(self) -> None:
        refuse_outside("share", self.share, 0, 100)
        refuse_unknown("randomness", self.randomness, RANDOMNESS)

    def begin(self, scene: Scene) -> RunningDefence:
        """Take the round's words."""
        return _Noisy(self.share, Words.at(scene.ctx, "defence", self.randomness == "seed"))


class _Noisy(RunningDefence):
    def __init__(self, share: float, words: Words) -> None:
        self._share = share
        self._words = words

    def leave(self, change: Tensors) -> Tensors:
        weights = {name: value for name, value in change.items() if name.startswith(WEIGHTS)}
        length = math.sqrt(sum(float(np.square(value, dtype=np.float64).sum()) for value in weights.values()))
        spread = self._share * length / math.sqrt(max(1, sum(value.size for value in weights.values())))
        noisy = {
            name: np.asarray(value + spread * self._words.normal(value.size).reshape(value.shape), value.dtype)
            for name, value in weights.items()
        }
        return {**change, **noisy}


@dataclass(frozen=True)
class Pruning:
    """Only the largest numbers of each tensor of the update leave (Zhu et al. 2019, section 5.2: gradient compression).

    Without the error feedback that compression has in `[[protect]]`: what is left out is lost.

    Attributes:
        share: of each tensor's numbers that become zero, in (0, 1).
    """

    disguises: ClassVar[bool] = False

    share: float = 0.9

    def __post_init__(self) -> None:
        refuse_outside("share", self.share, 0, math.nextafter(1, 0))

    def begin(self, scene: Scene) -> RunningDefence:
        """Start a round."""
        return _Pruned(self.share)


class _Pruned(RunningDefence):
    def __init__(self, share: float) -> None:
        self._share = share

    def leave(self, change: Tensors) -> Tensors:
        return {n: pruned(v, self._share) if n.startswith(WEIGHTS) else v for n, v in change.items()}


def pruned(value: np.ndarray, share: float) -> np.ndarray:
    """Return an array whose smallest numbers, a `share` of all, are zero; one number at least is left."""
    count = min(int(share * value.size), value.size - 1)
    kept = np.array(value)
    kept.reshape(-1)[np.argsort(np.abs(value).reshape(-1), kind="stable")[:count]] = 0
    return kept
