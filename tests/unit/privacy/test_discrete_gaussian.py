"""The integer sampler against the law it claims, and the paths that chance hardly ever takes."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chisquare

from wardround.errors import PrivacyError
from wardround.privacy import discrete_gaussian as sampler
from wardround.privacy.words import Words


def law(variance: int) -> tuple[np.ndarray, np.ndarray]:
    """Integers within ten standard deviations and their probabilities."""
    reach = 10 * math.isqrt(variance) + 10
    values = np.arange(-reach, reach + 1)
    weights = np.exp(-(values.astype(float) ** 2) / (2 * variance))
    return values, weights / weights.sum()


class Scripted(Words):
    """Words that a test wrote; afterwards, zeros."""

    def __init__(self, *script: int) -> None:
        super().__init__(0)
        self.script = list(script)

    def take(self, count: int) -> np.ndarray:
        taken, self.script = self.script[:count], self.script[count:]
        return np.array(taken + [0] * (count - len(taken)), np.uint64)


@pytest.mark.parametrize("variance", [1, 2, 7, 40, 1000])
def test_frequencies_follow_the_law(variance: int) -> None:
    count = 200_000
    drawn = sampler.discrete_gaussian(variance, count, Words(11))
    values, probabilities = law(variance)
    common = probabilities * count >= 20
    found = np.array([np.count_nonzero(drawn == value) for value in values[common]])
    rest = count - found.sum()
    expected = probabilities[common] * count
    # One test of five at one in ten thousand each; a law off by 2% in its variance fails by far, see below.
    assert chisquare([*found, rest], [*expected, count - expected.sum()]).pvalue > 1e-4


def test_the_test_above_can_fail() -> None:
    count = 200_000
    drawn = sampler.discrete_gaussian(42, count, Words(11))
    values, probabilities = law(40)
    common = probabilities * count >= 20
    found = np.array([np.count_nonzero(drawn == value) for value in values[common]])
    expected = probabilities[common] * count
    assert chisquare([*found, count - found.sum()], [*expected, count - expected.sum()]).pvalue < 1e-12


def test_moments_at_the_size_that_rounds_use() -> None:
    variance = 5000**2
    drawn = sampler.discrete_gaussian(variance, 400_000, Words(3)).astype(float)
    assert abs(drawn.mean()) < 5 * 5000 / math.sqrt(400_000)
    assert drawn.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / 400_000))
    assert np.mean(drawn**4) == pytest.approx(3 * variance**2, rel=5 * math.sqrt(96 / 400_000))


def test_a_seed_repeats_and_the_operating_system_does_not() -> None:
    assert np.array_equal(*(sampler.discrete_gaussian(100, 1000, Words(5)) for _ in range(2)))
    assert not np.array_equal(*(sampler.discrete_gaussian(100, 1000, Words()) for _ in range(2)))


def test_a_coin_that_is_too_close_to_call_is_decided_by_further_bits() -> None:
    # exp(-1) as 256 bits: a word that equals the first 64 of them is decided by the next.
    first = int(sampler._FIRST[-1])
    second = int(sampler._SECOND[-1])
    for further, head in ((second - 1, True), (second + 1, False)):
        words = Scripted(first, further)
        assert sampler._coins(np.array([1.0]), lambda place: Fraction(1), words).tolist() == [head]


def test_a_tie_in_the_geometric_part_is_decided_by_the_next_word() -> None:
    first, second = int(sampler._FIRST[-1]), int(sampler._SECOND[-1])
    assert sampler._geometric(1, Scripted(first, second - 1)).tolist() == [1]
    assert sampler._geometric(1, Scripted(first, second + 1)).tolist() == [0]
    assert sampler._geometric(1, Scripted(first - 1)).tolist() == [1]
    assert sampler._geometric(1, Scripted(2**64 - 1)).tolist() == [0]


def test_the_geometric_part_goes_on_beyond_its_table() -> None:
    # The word 0 lies below e^-44; the second draw then adds to the 44.
    assert sampler._geometric(1, Scripted(0, 2**63)).tolist() == [44]
    assert sampler._geometric(1, Scripted(0, 2**62)).tolist() == [45]


def test_the_geometric_part_follows_its_law() -> None:
    drawn = sampler._geometric(200_000, Words(2))
    for value in range(6):
        expected = (1 - math.exp(-1)) * math.exp(-value)
        assert np.mean(drawn == value) == pytest.approx(expected, abs=5 * math.sqrt(expected / 200_000))


def test_numbers_below_a_bound_are_uniform_and_words_that_would_bias_them_are_drawn_again() -> None:
    drawn = Words(1).below(6, 60_000)
    assert chisquare(np.bincount(drawn, minlength=6)).pvalue > 1e-4
    assert Scripted(2**64 - 1, 4).below(6, 1).tolist() == [4]  # 2^64 - 1 lies above the last multiple of 6


@pytest.mark.parametrize("variance", [0, -1, 2**40 + 1, 1.5])
def test_a_variance_that_it_cannot_draw_is_refused(variance: int) -> None:
    with pytest.raises(PrivacyError, match="variance"):
        sampler.discrete_gaussian(variance, 1, Words(0))
