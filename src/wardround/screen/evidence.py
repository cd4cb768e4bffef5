"""Evidence against a site, a product over rounds: e-detectors of the CUSUM kind.

If what is weighed has, given all rounds before, a mean of at most the allowance and tails no heavier than normal ones,
the rounds until the first false alarm are ``1 / false_alarms`` in the mean or more (Shin, Ramdas and Rinaldo 2024,
arXiv:2203.03532, sections 2 and 3).
"""

from __future__ import annotations

import math

CEILING = 1.5
"""Largest logarithm of the evidence, in logarithms of an alarm: who was accused wrongly comes back within rounds."""


def alarm(false_alarms: float) -> float:
    """Return the logarithm of the evidence from which on a site is left out."""
    return -math.log(false_alarms)


def weighed(log: float, deviations: float, bet: float) -> float:
    """Return the logarithm of the evidence after another round.

    Args:
        log: before it; what is below 0 counts as 0.
        deviations: how far beyond the allowance, in standard deviations.
        bet: weight of one deviation, > 0.
    """
    return max(log, 0.0) + bet * deviations - bet**2 / 2


def is_left_out(log: float, was: bool, false_alarms: float) -> bool:
    """Say whether a site is left out: from an alarm on, until the evidence is 1 or less."""
    return log >= alarm(false_alarms) or (was and log > 0)
