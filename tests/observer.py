"""Who looks at one number and guesses whether somebody was there."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

CLIPPED, SIGMA, DRAWS = 1.0, 2.0, 4000


def told_apart(draw: Callable[[bool, np.random.Generator], float]) -> float:
    """Return the share of draws that the best single threshold sorts right; half is guessing."""
    rng = np.random.default_rng(0)
    without, present = (np.array([draw(there, rng) for _ in range(DRAWS)]) for there in (False, True))
    cuts = np.quantile(np.concatenate([without, present]), np.linspace(0, 1, 201))
    return float(max(((without <= cut).mean() + (present > cut).mean()) / 2 for cut in cuts))


def allowed(distance: float, sigma: float) -> float:
    """What Gaussian noise lets the best observer get right: Phi(distance / 2 sigma), and four deviations of luck."""
    return 0.5 * (1 + math.erf(distance / sigma / 8**0.5)) + 4 * 0.5 / DRAWS**0.5
