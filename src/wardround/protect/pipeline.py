"""The stages of a plan in their order, and what they make of an update together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from wardround.checker.contract import Contract, Numbers, View
from wardround.checker.mixture import Link, Masking
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.protect.attempt import MAX_COHORT
from wardround.protect.clip import Clip
from wardround.protect.compact import Compact
from wardround.protect.int8 import Int8
from wardround.protect.noise import AddNoise
from wardround.protect.quantise import Grid, Quantise, RealGrid
from wardround.protect.row import Row
from wardround.protect.sparsify import RandomK, Threshold, TopK, count_of

SCHEMES = ("packed", "ckks")
OPENERS = ("auto", "sites", "coordinator")


@dataclass(frozen=True)
class Masks:
    """Double masking (Bonawitz et al. 2017, doi:10.1145/3133956.3133982, section 4); see `protect.masks`.

    Attributes:
        threshold: shares that rebuild a mask, more than half of the cohort; 0 takes all but one up to five sites, and
            the smallest majority beyond.
        least_sites: smallest sum that a site lets itself be part of, at least 2. A coordinator that sides with c sites
            learns the sum of the other ``least_sites - c``: choose it c + 2 or more. (Groups of a voided round may be
            smaller; see `protect.retry`.)
        bisect: after a void sum, open the sums of its halves and so on, to find whose update spoiled it. It narrows a
            site's company down to one or two others, and a coordinator may do it without a void sum: off unless a plan
            says so, and then a void round ends the run.
    """

    threshold: int = 0
    least_sites: int = 2
    bisect: bool = False

    def __post_init__(self) -> None:
        if self.threshold < 0:
            raise PlanError(f"masks threshold = {self.threshold} is negative: 0 chooses one")
        if self.least_sites < 2:
            raise PlanError(f"masks least_sites = {self.least_sites} is below 2: a sum over one site is its update")

    @property
    def contract(self) -> Contract:
        """Integers become uniform noise that cancels in the sum."""
        return Contract(frozenset({Numbers.INTEGER}), Numbers.MASKED, hides=frozenset({View.EACH}))


@dataclass(frozen=True)
class Homomorphic:
    """Encrypt, so that the coordinator adds what it cannot read; see `protect.lattice`.

    Attributes:
        scheme: ``packed`` (BFV, exact) or ``ckks`` (the published setting, approximate, a reference).
        honest_coordinator: without masks, whoever relays the sum could send one site's ciphertext in its place. A
            deployment that trusts its coordinator not to says so here.
    """

    scheme: str = "packed"
    honest_coordinator: bool = False

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise PlanError(f"homomorphic scheme = {self.scheme!r} is not one of {', '.join(SCHEMES)}")

    @property
    def contract(self) -> Contract:
        """What it takes is exact in the packed scheme, and real numbers in ckks."""
        exact = frozenset({Numbers.INTEGER, Numbers.MASKED})
        takes = exact if self.scheme == "packed" else frozenset({Numbers.REAL})
        return Contract(takes, Numbers.CIPHERTEXT, hides=frozenset({View.EACH, View.SUM}))


Sparsifier = Threshold | TopK | RandomK
TensorStage = Clip | Sparsifier
"""Stages that turn real numbers into real numbers: ``encode(change, ctx)``."""
Stage = TensorStage | AddNoise | Int8 | Quantise | Masks | Homomorphic

STAGES: dict[str, type[Stage]] = {
    "clip": Clip,
    "noise": AddNoise,
    "threshold": Threshold,
    "topk": TopK,
    "randomk": RandomK,
    "int8": Int8,
    "quantise": Quantise,
    "masks": Masks,
    "homomorphic": Homomorphic,
}
"""Names a plan may use in ``[[protect]] stage = …``."""

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Pipeline:
    """The ``[[protect]]`` tables.

    Attributes:
        stages: in the order in which an update passes them.
        open_at: who opens the sum: ``sites``, ``coordinator``, or ``auto``: the sites once updates are encrypted.
    """

    stages: tuple[Stage, ...] = ()
    open_at: str = "auto"

    def __post_init__(self) -> None:
        if self.open_at not in OPENERS:
            raise PlanError(f"open_at = {self.open_at!r} is not one of {', '.join(OPENERS)}")

    @property
    def clip(self) -> Clip | None:
        """The bound on the norm, if there is one."""
        return self._one(Clip)

    @property
    def noise(self) -> AddNoise | None:
        """The noise, if any is added."""
        return self._one(AddNoise)

    @property
    def randomk(self) -> RandomK | None:
        """The public choice of coordinates, if there is one."""
        return self._one(RandomK)

    @property
    def int8(self) -> Int8 | None:
        """One byte a value, if that is asked for."""
        return self._one(Int8)

    @property
    def quantise(self) -> Quantise | None:
        """How values become integers, if they do."""
        return self._one(Quantise)

    @property
    def masks(self) -> Masks | None:
        """The masks, if there are any."""
        return self._one(Masks)

    @property
    def homomorphic(self) -> Homomorphic | None:
        """The encryption, if there is one."""
        return self._one(Homomorphic)

    @property
    def ckks(self) -> bool:
        """Whether real numbers are encrypted, approximately."""
        return self.homomorphic is not None and self.homomorphic.scheme == "ckks"

    @property
    def sums_frames(self) -> bool:
        """Whether what leaves a site is a frame that is summed as it is, not tensors."""
        return self.quantise is not None or self.homomorphic is not None

    @property
    def needs_keys(self) -> bool:
        """Whether the sites agree on keys before the first round."""
        return self.masks is not None or self.homomorphic is not None

    @property
    def opens_at_sites(self) -> bool:
        """Whether the sites open the sum, and the coordinator stays blind."""
        return self.open_at == "sites" or (self.open_at == "auto" and self.homomorphic is not None)

    @property
    def feeds_back(self) -> bool:
        """Whether a site adds what compression left out of earlier rounds to its next update."""
        return any(stage.feedback for stage in self.stages if isinstance(stage, Sparsifier | Int8))

    def places(self, length: int, ctx: RoundContext) -> np.ndarray | None:
        """Return which numbers of a row travel in a round, where that is the same at every site; else ``None``."""
        return self.randomk.places(length, ctx) if self.randomk else None

    def grid(self, broadcast: Tensors, ctx: RoundContext) -> Grid | RealGrid:
        """Return how an update to `broadcast` is written as one row of numbers in a round."""
        places = self.places(Row.of(broadcast).length, ctx)
        return self.quantise.grid(broadcast, places) if self.quantise else RealGrid(Row.of(broadcast, places))

    def num_values(self, length: int) -> int:
        """Return how many numbers of a row travel where updates are summed as frames."""
        return count_of(self.randomk.fraction, length) if self.randomk else length

    def compact(self, template: Tensors, ctx: RoundContext) -> Compact | None:
        """Return how an update travels in the clear, or ``None`` where that is as tensors."""
        own = any(isinstance(stage, Threshold | TopK) for stage in self.stages)
        if self.sums_frames or not (own or self.randomk or self.int8):
            return None
        places = self.places(Row.of(template).length, ctx)
        return Compact(Row.of(template, places), own, self.int8 is not None)

    @property
    def links(self) -> tuple[Link, ...]:
        """The stages as the checker sees them."""
        names = {kind: name for name, kind in STAGES.items()}
        return tuple(Link(names[type(stage)], stage.contract) for stage in self.stages)

    @property
    def masking(self) -> Masking | None:
        """What the masks ask of a cohort, if there are any."""
        masks = self.masks
        return Masking(masks.threshold, masks.least_sites, MAX_COHORT, masks.bisect) if masks else None

    def _one(self, kind: type[_Kind]) -> _Kind | None:
        return next((stage for stage in self.stages if isinstance(stage, kind)), None)
