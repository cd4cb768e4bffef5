"""The lower bound of an audit: against its definition, and against mechanisms whose epsilon is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from wardround.errors import PrivacyError
from wardround.privacy.audit import epsilon_lower_bound, probability


def test_without_delta_it_is_the_clopper_pearson_bound_on_a_coin() -> None:
    found = epsilon_lower_bound(80, 100, 100, 0.0)
    heads = 1 / (1 + math.exp(-found))
    assert binom.sf(79, 100, heads) == pytest.approx(0.05, abs=1e-4)


def test_all_right_of_many_refutes_much_and_half_right_nothing() -> None:
    assert epsilon_lower_bound(1000, 1000, 1000, 1e-5) == pytest.approx(5.8, abs=0.15)
    assert epsilon_lower_bound(500, 1000, 1000, 1e-5) == 0
    assert epsilon_lower_bound(0, 0, 1000, 1e-5) == 0


def test_delta_weakens_it() -> None:
    assert epsilon_lower_bound(90, 100, 1000, 1e-4) < epsilon_lower_bound(90, 100, 1000, 0.0)


def test_the_probability_follows_the_theorem_term_by_term() -> None:
    correct, guesses, canaries, epsilon, delta = 14, 20, 50, 0.7, 1e-3
    heads = math.exp(epsilon) / (1 + math.exp(epsilon))
    law = [binom.pmf(w, guesses, heads) for w in range(guesses + 1)]
    alpha = max(2 / i * sum(law[correct - i : correct]) for i in range(1, correct + 1))
    expected = sum(law[correct:]) + delta * canaries * alpha
    assert probability(correct, guesses, canaries, epsilon, delta) == pytest.approx(expected)


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_randomised_response_with_that_epsilon_is_hardly_ever_refuted(epsilon: float) -> None:
    rng = np.random.default_rng(3)
    heads = 1 / (1 + math.exp(-epsilon))
    bounds = [epsilon_lower_bound(int(rng.binomial(400, heads)), 400, 400, 0.0) for _ in range(150)]
    assert np.mean(np.array(bounds) > epsilon) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 150)
    assert np.mean(bounds) > 0.6 * epsilon


@pytest.mark.parametrize("outcome", [(5, 4, 10), (1, 11, 10), (-1, 4, 10)])
def test_what_is_no_outcome_is_refused(outcome: tuple[int, int, int]) -> None:
    with pytest.raises(PrivacyError, match="no outcome"):
        epsilon_lower_bound(*outcome, 1e-5)
