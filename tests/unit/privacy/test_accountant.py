"""Epsilon from events: equal to dp-accounting's, near Opacus's, and never without an event."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, ZCDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import PrivacyError
from wardround.privacy import Accountant, DiscreteGaussian, Gaussian, epsilon_of

RUNS = [(1.0, 0.01, 1000, 1e-5), (2.0, 0.07, 40, 1e-5), (1.1, 0.05, 200, 1e-5), (0.8, 0.004, 1000, 1e-6)]


@dataclass(frozen=True)
class Unheard:
    """A noise that nobody accounts for."""

    noise_multiplier: float = 1.0
    sampling_rate: float = 1.0


@pytest.mark.parametrize(("multiplier", "rate", "count", "delta"), RUNS)
def test_epsilon_is_that_of_dp_accounting(multiplier: float, rate: float, count: int, delta: float) -> None:
    oracle = PLDAccountant()
    oracle.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(multiplier)), count)
    assert epsilon_of({Gaussian(multiplier, rate): count}, delta) == oracle.get_epsilon(delta)


@pytest.mark.parametrize(("multiplier", "rate", "count", "delta"), RUNS)
def test_epsilon_is_within_one_percent_of_opacus(multiplier: float, rate: float, count: int, delta: float) -> None:
    from opacus.accountants import PRVAccountant

    opacus = PRVAccountant()
    opacus.history = [(multiplier, rate, count)]
    theirs = opacus.get_epsilon(delta, eps_error=0.002, delta_error=delta / 1000)
    assert epsilon_of({Gaussian(multiplier, rate): count}, delta) == pytest.approx(theirs, rel=0.01)


def test_a_discrete_gaussian_over_all_is_entered_as_zcdp() -> None:
    oracle = RdpAccountant([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 32, 64])
    oracle.compose(ZCDpEvent(1 / (2 * 4.0**2)), 20)
    ours = epsilon_of({DiscreteGaussian(4.0): 20}, 1e-5)
    assert ours <= oracle.get_epsilon(1e-5) < 1.02 * ours


def test_a_sampled_discrete_gaussian_costs_what_renyi_divergences_of_integer_order_say() -> None:
    discrete = epsilon_of({DiscreteGaussian(2.0, 0.07): 40}, 1e-5)
    assert epsilon_of({Gaussian(2.0, 0.07): 40}, 1e-5) < discrete < 1.25 * epsilon_of({Gaussian(2.0, 0.07): 40}, 1e-5)


def test_moments_of_a_sampled_discrete_gaussian_equal_the_continuous_ones_at_integer_orders() -> None:
    # The claim on which the accounting of sampled discrete noise rests, summed out over the integers.
    sigma, shift, rate = 3.0, 2, 0.2
    grid = range(-120, 121)
    base = {x: math.exp(-(x**2) / (2 * sigma**2)) for x in grid}
    total = sum(base.values())
    for order in (2, 3, 7):
        mixed = sum(
            base[x] / total * ((1 - rate) + rate * math.exp((2 * x * shift - shift**2) / (2 * sigma**2))) ** order
            for x in grid
        )
        oracle = RdpAccountant([order])
        oracle.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(sigma / shift)))
        assert math.log(mixed) / (order - 1) == pytest.approx(oracle._rdp[0], rel=1e-9)


def test_an_unknown_event_is_refused_before_anything_changes() -> None:
    accountant = Accountant([Gaussian(2.0)])
    before = dict(accountant.counts)
    with pytest.raises(PrivacyError, match="Unheard"):
        accountant.record([Gaussian(1.0), Unheard()])  # type: ignore[list-item]
    assert dict(accountant.counts) == before
    with pytest.raises(PrivacyError, match="Unheard"):
        epsilon_of({Unheard(): 1}, 1e-5)  # type: ignore[dict-item]


def test_without_events_epsilon_is_zero_and_with_one_it_is_not() -> None:
    accountant = Accountant()
    assert accountant.epsilon(1e-5) == 0
    accountant.record([Gaussian(1.0)])
    once = accountant.epsilon(1e-5)
    accountant.record([Gaussian(1.0)])
    assert 0 < once < accountant.epsilon(1e-5)


def test_failures_come_off_delta_and_more_of_them_than_delta_cover_nothing() -> None:
    clean = epsilon_of({DiscreteGaussian(4.0): 1}, 1e-5)
    assert epsilon_of({DiscreteGaussian(4.0, failure=5e-6): 1}, 1e-5) > clean
    assert epsilon_of({DiscreteGaussian(4.0, gap=0.01): 1}, 1e-5) > clean + 0.02
    assert epsilon_of({DiscreteGaussian(4.0, failure=1e-5): 1}, 1e-5) == math.inf


@settings(max_examples=8)
@given(st.integers(1, 50), st.floats(2.0, 30.0), st.floats(0.01, 1.0))
def test_more_noise_costs_less_and_more_events_cost_more(count: int, multiplier: float, rate: float) -> None:
    base = epsilon_of({DiscreteGaussian(multiplier, rate): count}, 1e-5)
    assert epsilon_of({DiscreteGaussian(multiplier * 2, rate): count}, 1e-5) <= base
    assert epsilon_of({DiscreteGaussian(multiplier, rate): count + 1}, 1e-5) >= base
