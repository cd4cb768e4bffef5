"""The ``[privacy]`` table of a plan: what is claimed, before anything happened."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wardround.errors import PlanError

SITE = "site"
GROUP_UNITS = ("lesion", "patient")
UNITS = ("image", *GROUP_UNITS, SITE)
RANDOMNESS = ("system", "seed")


@dataclass(frozen=True)
class Privacy:
    """The ``[privacy]`` table: whose presence is hidden, and how well.

    Attributes:
        unit: whose presence nobody can tell: ``image``; ``lesion`` or ``patient``, all images of one group of the data
            together; or ``site``, everything a site has.
        delta: probability with which the guarantee may fail, in (0, 1); well below one over the number of units.
        epsilon: target over the whole run; the noise is calibrated to it. 0 where `noise_multiplier` is given.
        noise_multiplier: standard deviation of the noise over what one unit can move; 0 where `epsilon` is given.
        randomness: where noise and sampling come from: ``system``, the operating system, or ``seed``, the plan's seed,
            so that a study can be repeated; then epsilon holds only for who does not know the seed.
    """

    unit: str
    delta: float
    epsilon: float = 0.0
    noise_multiplier: float = 0.0
    randomness: str = "system"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise PlanError(f"privacy unit = {self.unit!r} is not one of {', '.join(UNITS)}")
        if self.randomness not in RANDOMNESS:
            raise PlanError(f"privacy randomness = {self.randomness!r} is not one of {', '.join(RANDOMNESS)}")
        if not 0 < self.delta < 1:
            raise PlanError(f"privacy delta = {self.delta} is outside (0, 1)")
        for key in ("epsilon", "noise_multiplier"):
            if not 0 <= getattr(self, key) < math.inf:
                raise PlanError(f"privacy {key} = {getattr(self, key)} is no number of 0 or more")
        if bool(self.epsilon) == bool(self.noise_multiplier):
            raise PlanError("privacy needs either epsilon, to which the noise is calibrated, or noise_multiplier")

    @property
    def is_site(self) -> bool:
        """Whether a whole site is hidden."""
        return self.unit == SITE

    @property
    def is_seeded(self) -> bool:
        """Whether noise follows from the plan's seed."""
        return self.randomness == "seed"
