"""Attacks on the update itself, and on what a site says of it."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wardround.algorithms import LocalResult, LocalWork
from wardround.attacks.poison.base import Culprits, Spoiled
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, is_vote, without_votes
from wardround.errors import PlanError


@dataclass(frozen=True, kw_only=True)
class Spoiler(Culprits, ABC):
    """An attack on a site's result; the work before it stays."""

    asks_honest: ClassVar[bool] = False

    def around(self, work: LocalWork, honest: LocalWork) -> LocalWork:
        """Change the result of `work`; see `Malice.around`."""
        return Spoiled(self, work, honest)

    @abstractmethod
    def spoiled(self, result: LocalResult, honest: LocalResult | None, ctx: RoundContext) -> LocalResult:
        """Return the changed result; see `ResultPoison.spoiled`."""


@dataclass(frozen=True, kw_only=True)
class Lengthened(Spoiler):
    """An attack that has a length.

    Attributes:
        times: length of what is sent, in lengths of the update; > 0.
    """

    times: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.times < math.inf:
            raise PlanError(f"attack times = {self.times} is not a positive number")


@dataclass(frozen=True, kw_only=True)
class Scale(Lengthened):
    """Send the update many times over: model replacement (Bagdasaryan et al. 2020, arXiv:1807.00459, section IV-B).

    With as many sites of equal weight as `times` says, the next model is the attacker's.
    """

    name: ClassVar[str] = "scale"
    times: float = 3.0

    def spoiled(self, result: LocalResult, honest: LocalResult | None, ctx: RoundContext) -> LocalResult:
        """Multiply the update."""
        return dataclasses.replace(result, change=_times(result.change, self.times))


@dataclass(frozen=True, kw_only=True)
class SignFlip(Lengthened):
    """Send the update backwards (Li et al. 2019, arXiv:1811.03761, section 5.1)."""

    name: ClassVar[str] = "sign_flip"

    def spoiled(self, result: LocalResult, honest: LocalResult | None, ctx: RoundContext) -> LocalResult:
        """Turn the update round."""
        return dataclasses.replace(result, change=_times(result.change, -self.times))


@dataclass(frozen=True, kw_only=True)
class Noise(Lengthened):
    """Send noise in place of the update (Blanchard et al. 2017, section 1). Colluders send noise of their own each."""

    name: ClassVar[str] = "noise"

    def spoiled(self, result: LocalResult, honest: LocalResult | None, ctx: RoundContext) -> LocalResult:
        """Draw noise of the expected length."""
        rng, change = ctx.rng("attack noise"), result.change
        count = sum(value.size for value in without_votes(change).values())
        deviation = self.times * length(change) / max(1, count) ** 0.5
        drawn = {
            name: value if is_vote(name) else np.asarray(rng.normal(0, deviation, value.shape), value.dtype)
            for name, value in sorted(change.items())
        }
        return dataclasses.replace(result, change=drawn)


@dataclass(frozen=True, kw_only=True)
class NormBound(Lengthened):
    """Keep the poisoned update as long as an honest one of this site (Sun et al. 2019, arXiv:1911.07963, section 4).

    It comes after the attacks that it is to hide from a screen of lengths. `times` is in lengths of the honest update.
    """

    name: ClassVar[str] = "norm_bound"
    asks_honest: ClassVar[bool] = True

    def spoiled(self, result: LocalResult, honest: LocalResult | None, ctx: RoundContext) -> LocalResult:
        """Shorten the update where it is longer."""
        if honest is None:
            raise ValueError("norm_bound was not told the honest update")
        most, sent = self.times * length(honest.change), length(result.change)
        return dataclasses.replace(result, change=_times(result.change, most / sent)) if sent > most else result


@dataclass(frozen=True, kw_only=True)
class Lie(Spoiler):
    """Report the losses that this site would have if it were honest: an attack on screens that believe them."""

    name: ClassVar[str] = "lie"
    asks_honest: ClassVar[bool] = True

    def spoiled(self, result: LocalResult, honest: LocalResult | None, ctx: RoundContext) -> LocalResult:
        """Replace the losses."""
        if honest is None:
            raise ValueError("lie was not told the honest losses")
        return dataclasses.replace(result, loss=honest.loss, last_loss=honest.last_loss)


def length(change: Tensors) -> float:
    """Return the joint L2 norm of an update, votes aside."""
    return float(np.sqrt(sum(np.sum(np.square(v, dtype=np.float64)) for v in without_votes(change).values())))


def _times(change: Tensors, factor: float) -> dict[str, np.ndarray]:
    return {n: v if is_vote(n) else np.asarray(v * v.dtype.type(factor), v.dtype) for n, v in change.items()}
