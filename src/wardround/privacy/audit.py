"""What an attack proves about epsilon: a lower bound from one run (Steinke, Nasr, Jagielski 2023, arXiv:2305.08846)."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from wardround.errors import PrivacyError

LARGEST_EPSILON = 50.0


def epsilon_lower_bound(correct: int, guesses: int, canaries: int, delta: float, confidence: float = 0.95) -> float:
    """Return the largest epsilon that an attack refutes.

    Each of `canaries` was in the data or not by a fair coin of its own; an attacker who saw the result guessed
    `guesses` of these coins, as many as it decided on beforehand, and was right `correct` times.

    Args:
        correct: right guesses.
        guesses: all guesses, at most `canaries`.
        canaries: units whose presence was drawn.
        delta: of the claim.
        confidence: of the bound, in (0, 1).

    Returns:
        Epsilon such that every (e, delta)-private mechanism with e below it would give so many right guesses with a
        probability of at most ``1 - confidence``; 0 if none is refuted.

    Raises:
        PrivacyError: the numbers do not fit together.
    """
    if not 0 <= correct <= guesses <= canaries or not 0 < confidence < 1 or not 0 <= delta < 1:
        raise PrivacyError(f"{correct} right of {guesses} guesses about {canaries} canaries is no outcome of an audit")
    low, high = 0.0, LARGEST_EPSILON
    if guesses == 0 or probability(correct, guesses, canaries, low, delta) > 1 - confidence:
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if probability(correct, guesses, canaries, middle, delta) > 1 - confidence:
            high = middle
        else:
            low = middle
    return low


def probability(correct: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """Return the most that the probability of at least `correct` right guesses can be (the paper's Theorem 5.2).

    ``P[W >= v] + delta x canaries x max over i of 2 P[v > W >= v - i] / i``, where W counts heads of `guesses` coins
    that each fall right with probability ``e^epsilon / (1 + e^epsilon)``.
    """
    heads = 1 / (1 + np.exp(-epsilon))
    beyond = float(binom.sf(correct - 1, guesses, heads))
    if not correct:
        return 1.0
    steps = np.arange(1, correct + 1)
    below = np.cumsum(binom.pmf(correct - steps, guesses, heads))
    return min(1.0, beyond + 2 * delta * canaries * float(np.max(below / steps)))
