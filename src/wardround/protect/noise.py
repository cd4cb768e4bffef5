"""Noise on an update or on a sum of updates: what hides whether somebody was there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.checker.contract import Contract, Noise, Norm, Numbers, Unit, View
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.privacy import Event, Gaussian
from wardround.privacy.words import Words

MECHANISMS = ("gaussian", "discrete_gaussian")
PLACES = ("site", "coordinator")


@dataclass(frozen=True)
class AddNoise:
    """Add noise; how much, the ``[privacy]`` table says.

    Attributes:
        mechanism: ``gaussian``, real numbers; or ``discrete_gaussian``, integers after a quantise stage: each site adds
            its share, masks hide the shares, and the sum carries the whole (Kairouz, Liu, Steinke 2021,
            arXiv:2102.06387). The shares are made for as many sites as the masks' threshold, which the plan must give.
        at: who adds ``gaussian`` noise: every ``site`` all of it, to its own update; or the ``coordinator`` once, to
            the sum, which it therefore sees without.
    """

    mechanism: str = "gaussian"
    at: str = "site"

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS:
            raise PlanError(f"noise mechanism = {self.mechanism!r} is not one of {', '.join(MECHANISMS)}")
        if self.at not in PLACES:
            raise PlanError(f"noise at = {self.at!r} is not one of {', '.join(PLACES)}")
        if self.is_discrete and self.at != "site":
            raise PlanError('discrete noise is added in shares by the sites: remove at, or say at = "site"')

    @property
    def is_discrete(self) -> bool:
        """Whether it adds integers."""
        return self.mechanism == "discrete_gaussian"

    @property
    def is_central(self) -> bool:
        """Whether whoever opens the sum adds it."""
        return self.at == "coordinator"

    @property
    def is_own(self) -> bool:
        """Whether each site adds all of it to its own update."""
        return not self.is_discrete and not self.is_central

    @property
    def contract(self) -> Contract:
        """Shares of integers, real numbers in full, or nothing here and something at the coordinator."""
        if self.is_discrete:
            numbers = frozenset({Numbers.INTEGER})
            return Contract(numbers, Numbers.INTEGER, norm=Norm.INFLATES, noise=Noise(View.SUM, Unit.SITE))
        reals = frozenset({Numbers.REAL})
        if self.is_central:
            return Contract(reals, Numbers.REAL, noise=Noise(View.SUM, Unit.SITE, by_opener=True))
        return Contract(reals, Numbers.REAL, norm=Norm.INFLATES, noise=Noise(View.EACH, Unit.SITE))


@dataclass(frozen=True)
class NoiseScale:
    """How much noise a sum needs, all of it fixed by the plan.

    Attributes:
        multiplier: standard deviation over `sensitivity`.
        sensitivity: L2 distance by which one unit can move the sum, in the units of the update.
        sampling_rate: probability with which a unit is in the sum.
        whole_site: whether the unit is a site: its whole update counts. Otherwise only trainable weights change, and
            what does not change needs no noise.
        seeded: whether noise comes from the plan's seed.
    """

    multiplier: float
    sensitivity: float
    sampling_rate: float
    whole_site: bool
    seeded: bool

    def covers(self, name: str) -> bool:
        """Whether the tensor called `name` depends on a site's data, and so gets noise."""
        return self.whole_site or name.startswith("net/")


def with_gaussian(tensors: Tensors, scale: NoiseScale, words: Words, rounding: float = 0.0) -> tuple[Tensors, Event]:
    """Add continuous Gaussian noise to an update or a sum.

    Args:
        tensors: name -> floats of any shape.
        scale: how much.
        words: where the randomness comes from.
        rounding: L2 distance by which rounding before can add to the sensitivity.

    Returns:
        The noisy tensors in the dtypes of `tensors`, and the one event that this is.
    """
    deviation = scale.multiplier * (scale.sensitivity + rounding)
    noisy: dict[str, np.ndarray] = {}
    for name in sorted(tensors):
        value = tensors[name]
        if scale.covers(name):
            noise = deviation * words.normal(value.size).reshape(value.shape)
            noisy[name] = np.asarray(value + noise, value.dtype)
        else:
            noisy[name] = np.zeros_like(value)
    return noisy, Gaussian(scale.multiplier, scale.sampling_rate)
