"""Where in a run a computation stands, and the randomness that belongs to that place."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class RoundContext:
    """One place in a run: a round, its cohort and, at a site, the site.

    Attributes:
        seed: the seed of the plan; ``None`` takes randomness from the operating system (deployment).
        round: index of the round, from 0.
        rounds: number of rounds in the plan.
        cohort: sites that take part in this round, in the order in which sums are formed.
        population: number of sites that train in this run.
        site: the site this context is for; ``None`` at the coordinator.
    """

    seed: int | None
    round: int
    rounds: int
    cohort: tuple[str, ...]
    population: int
    site: str | None = None

    def at(self, site: str) -> RoundContext:
        """Return the same place in the run as seen by `site`."""
        return replace(self, site=site)

    def entropy(self, purpose: str) -> int:
        """Return 63 bits for `purpose`: the same for the same place in the same seeded run, on every engine."""
        if self.seed is None:
            return secrets.randbits(63)
        return derive_seed(self.seed, self.round, self.site or "", purpose)

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a fresh generator for `purpose`; two purposes never share a stream."""
        return np.random.default_rng(self.entropy(purpose))


def derive_seed(*parts: int | str) -> int:
    """Hash `parts` into a 63-bit seed; the kinds and borders of the parts matter (``1, "2"`` is not ``12``)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}".replace("\x1f", "\x1f\x1f") for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
