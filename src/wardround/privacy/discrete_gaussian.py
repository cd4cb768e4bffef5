"""Integers from a discrete Gaussian, exactly and many at a time.

The rejection sampler of Canonne, Kamath, Steinke 2020 (arXiv:2004.00010, algorithms 1 to 3), on arrays. Its coins with
probability exp(-x) are tossed by comparing a 64-bit word with exp(-x) in floating point; where the two are so close
that rounding could matter, which happens once in 2^44 coins, further bits decide against exp(-x) to 80 digits. What is
not exact: a tie of 256 bits (128 in the geometric part) counts as a failed coin, and the variance is a whole number.

Own code, because OpenDP's exact sampler takes no seed, so that no study could be repeated, and others draw one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from math import isqrt

import numpy as np

from wardround.errors import PrivacyError
from wardround.privacy.words import Words

LARGEST_VARIANCE = 2**40
_BLOCK = 2**17
_DOUBT = 2.0**-45
_DIGITS = 80
_EXTRA_WORDS = 3


def discrete_gaussian(variance: int, count: int, words: Words) -> np.ndarray:
    """Draw integers x with probability proportional to ``exp(-x^2 / (2 variance))``.

    Args:
        variance: a whole number from 1 to 2^40.
        count: how many.
        words: where the randomness comes from.

    Returns:
        int64 ``(count,)``.

    Raises:
        PrivacyError: `variance` is out of range.
    """
    if type(variance) is not int or not 1 <= variance <= LARGEST_VARIANCE:
        raise PrivacyError(f"a variance of {variance} is no whole number from 1 to {LARGEST_VARIANCE}")
    drawn = np.empty(count, np.int64)
    filled = 0
    while filled < count:
        found = _proposed(variance, min(_BLOCK, 2 * (count - filled) + 64), words)
        taken = found[: count - filled]
        drawn[filled : filled + len(taken)] = taken
        filled += len(taken)
    return drawn


def _proposed(variance: int, tries: int, words: Words) -> np.ndarray:
    """Return the accepted ones of `tries` proposals from a discrete Laplace (algorithms 2 and 3)."""
    scale = isqrt(variance) + 1
    low = words.below(scale, tries)
    low = low[_coins(low / scale, lambda place: Fraction(int(low[place]), scale), words)]
    size = low + scale * _geometric(len(low), words)
    negative = words.take(len(size)) >> np.uint64(63) == 1
    once = ~(negative & (size == 0))  # zero has no sign
    size, negative = size[once], negative[once]
    distance = size * scale - variance
    exponent = np.square(distance / scale) / (2 * variance)
    exact = _exponents(distance, 2 * variance * scale * scale)
    kept = _coins(exponent, exact, words)
    return np.asarray(np.where(negative, -size, size)[kept])


def _exponents(distance: np.ndarray, denominator: int) -> Callable[[int], Fraction]:
    return lambda place: Fraction(int(distance[place]) ** 2, denominator)


def _coins(exponent: np.ndarray, exact: Callable[[int], Fraction], words: Words) -> np.ndarray:
    """Return bool, each true with probability ``exp(-exponent)``; `exact` gives one exponent as a fraction."""
    chance = np.exp(-exponent)
    word = words.take(len(exponent))
    drawn = word * 2.0**-64
    heads: np.ndarray = drawn < chance
    for place in np.flatnonzero(np.abs(drawn - chance) <= _DOUBT).tolist():
        heads[place] = _decided(int(word[place]), exact(place), words)
    return heads


def _decided(word: int, exponent: Fraction, words: Words) -> bool:
    for further in words.take(_EXTRA_WORDS).tolist():
        word = word << 64 | further
    with localcontext() as context:
        context.prec = _DIGITS
        chance = (Decimal(-exponent.numerator) / Decimal(exponent.denominator)).exp()
        return bool(Decimal(word) < chance * 2 ** (64 * (1 + _EXTRA_WORDS)))


def _thresholds() -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the second 64 bits of e^-1 … e^-44, smallest first."""
    with localcontext() as context:
        context.prec = _DIGITS
        bits = [int(Decimal(-k).exp() * 2**128) for k in range(44, 0, -1)]
    return np.array([b >> 64 for b in bits], np.uint64), np.array([b & (2**64 - 1) for b in bits], np.uint64)


_FIRST, _SECOND = _thresholds()


def _geometric(count: int, words: Words) -> np.ndarray:
    """Return int64 ``(count,)``: v with probability ``(1 - 1/e) e^-v``; beyond 44 another draw is added."""
    word = words.take(count)
    drawn = (len(_FIRST) - np.searchsorted(_FIRST, word, side="right")).astype(np.int64)
    for place in np.flatnonzero(np.isin(word, _FIRST)).tolist():
        tied = int(np.searchsorted(_FIRST, word[place]))
        drawn[place] += int(words.take(1)[0] < _SECOND[tied])
    # The law forgets: given v >= 44, v - 44 has the same law again.
    far = np.flatnonzero(drawn == len(_FIRST))
    if len(far):
        drawn[far] += _geometric(len(far), words)
    return drawn
