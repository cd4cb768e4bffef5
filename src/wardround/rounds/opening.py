"""From an opened sum to the next state: the same code where the coordinator opens, and where the sites do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wardround.core.update import Aggregate, is_vote, without_votes
from wardround.errors import SiteError, WireError
from wardround.protect.clip import norm_of
from wardround.protect.lattice import Sealer
from wardround.protect.noisy_grid import NoisyGrid
from wardround.protect.quantise import Grid, RealGrid
from wardround.protect.scheme import Scheme


class Opening:
    """One group's sum, opened part by part.

    Attributes:
        sites: whose updates are in the sum.
        total_weight: sum of their weights.
    """

    def __init__(
        self, scheme: Scheme, grid: Grid | RealGrid | NoisyGrid, sites: Sequence[str], total_weight: int
    ) -> None:
        self.sites = tuple(sites)
        self.total_weight = total_weight
        self._scheme = scheme
        self._grid = grid
        self._parts = scheme.parts(grid.num_values)
        # One array for all parts: joining them in the end would need the memory twice.
        self._values = scheme.empty(grid.num_values)
        self._taken: set[int] = set()
        self._refusal = ""

    @property
    def num_parts(self) -> int:
        """Parts that a whole sum has."""
        return len(self._parts)

    @property
    def is_whole(self) -> bool:
        """Whether every part was taken."""
        return len(self._taken) == self.num_parts

    def take(self, part: int, frame: bytes, sealer: Sealer | None) -> None:
        """Open one part; one that is no sum is remembered and makes the round void.

        Raises:
            WireError: there is no such part.
        """
        if not 0 <= part < self.num_parts:
            raise WireError(f"part {part} is none of the {self.num_parts} parts of this sum")
        place = self._parts[part]
        try:
            self._scheme.open_into(self._values[place], frame, place, self.total_weight, sealer)
        except WireError as error:
            self._refusal = self._refusal or f"part {part} does not open: {error}"
        self._taken.add(part)

    def aggregate(self, clip_norm: float | None) -> Aggregate:
        """Test the sum and return it.

        Args:
            clip_norm: bound on the norm of one site's update, if the plan has one.

        Raises:
            SiteError: parts are missing, or the sum is one that honest sites cannot make: the round is void.
        """
        if not self.is_whole:
            raise SiteError(f"{self.num_parts - len(self._taken)} parts of the sum never came")
        if self._refusal:
            raise SiteError(self._refusal)
        tensors = self._grid.decode(self._values)
        norm, bound = norm_of(without_votes(tensors)), self.total_weight * self._grid.norm_bound(clip_norm)
        if not math.isfinite(norm):
            raise SiteError("the opened sum is not finite: the round is void")
        if norm > bound * (1 + 1e-9):
            # Not by how much: whoever made up a sum would learn from it.
            raise SiteError(
                f"the opened sum has a norm above {bound:.4g}, and honest updates of total weight {self.total_weight} "
                "have at most that: the round is void"
            )
        if any(is_vote(name) and np.max(np.abs(v), initial=0.0) > self.total_weight for name, v in tensors.items()):
            raise SiteError(f"the opened sum counts more votes than {self.total_weight}: the round is void")
        return Aggregate(tensors, float(self.total_weight), self.sites)


def combined(groups: Sequence[Aggregate]) -> Aggregate:
    """Add the sums of disjoint groups."""
    names = groups[0].tensors
    return Aggregate(
        {name: np.asarray(sum(group.tensors[name] for group in groups)) for name in names},
        sum(group.weight for group in groups),
        tuple(sorted(site for group in groups for site in group.sites)),
    )
