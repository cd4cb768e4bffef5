"""The ``[split]`` table of a plan: where the network is cut, and who holds what is below."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wardround.errors import PlanError
from wardround.rounds.split.forms import FORMS

HOSTS = ("apart", "coordinator")


@dataclass(frozen=True)
class SplitRules:
    """Where a network is cut, and what travels over the cut.

    Attributes:
        depth: levels that stay at a site, 1 or more: the deeper, the less its activations tell, and the more it
            computes itself.
        body_host: ``apart``, a party that sees no update of head or tail; or ``coordinator``, if one party shall hold
            both roles.
        wire: how activations and gradients are written: ``float32``, ``bf16`` or ``int8``.
        noise_sd: standard deviation of Gaussian noise that a site adds to each activation before it sends it, in
            standard deviations of that activation's batch; 0 adds none.
        decorrelation: weight of the distance correlation between images and activations in a site's loss (NoPeek;
            Vepakomma et al. 2020, arXiv:2008.09161); 0 leaves it out.
    """

    depth: int = 1
    body_host: str = "apart"
    wire: str = "float32"
    noise_sd: float = 0.0
    decorrelation: float = 0.0

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise PlanError(f"split depth = {self.depth} leaves nothing at a site: choose 1 or more")
        if self.body_host not in HOSTS:
            raise PlanError(f'split body_host = "{self.body_host}" is unknown: choose {" or ".join(HOSTS)}')
        if self.wire not in FORMS:
            raise PlanError(f'split wire = "{self.wire}" is unknown: choose from {", ".join(FORMS)}')
        if not (0 <= self.noise_sd < math.inf and 0 <= self.decorrelation < math.inf):
            raise PlanError("split noise_sd and decorrelation are finite and not negative")
