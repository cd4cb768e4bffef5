"""What each rule keeps, and who can foresee it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.protect.clip import norm_of
from wardround.protect.row import Row
from wardround.protect.sparsify import RandomK, Threshold, TopK, count_of

CHANGE: Tensors = {
    "net/b": np.array([[0.5, -0.02], [0.01, 0.0]], np.float32),
    "net/a": np.array([-0.3, 0.009, 0.02], np.float32),
}


def kept(change: Tensors) -> list[float]:
    return Row.of(change).values(change, np.float32).tolist()


def test_the_published_threshold_keeps_what_exceeds_it() -> None:
    found = kept(Threshold(0.01).encode(CHANGE, tiny.context()))
    assert found == pytest.approx([-0.3, 0, 0.02, 0.5, -0.02, 0, 0])


def test_top_k_takes_all_tensors_as_one_vector_and_the_first_of_equal_ones() -> None:
    assert kept(TopK(2 / 7).encode(CHANGE, tiny.context())) == pytest.approx([-0.3, 0, 0, 0.5, 0, 0, 0])
    assert kept(TopK(3 / 7).encode(CHANGE, tiny.context())) == pytest.approx([-0.3, 0, 0.02, 0.5, 0, 0, 0])


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40), st.floats(0.01, 1))
def test_nothing_that_top_k_drops_is_larger_than_what_it_keeps(values: list[float], fraction: float) -> None:
    change = {"x": np.array(values, np.float32)}
    found = TopK(fraction).encode(change, tiny.context())["x"]
    chosen = found != 0
    count = count_of(fraction, len(values))
    assert np.count_nonzero(found) == min(count, np.count_nonzero(change["x"]))
    np.testing.assert_array_equal(found[chosen], change["x"][chosen])
    if chosen.any() and not chosen.all():
        assert np.abs(change["x"][chosen]).min() >= np.abs(change["x"][~chosen]).max()


@given(st.integers(1, 3000), st.floats(0.001, 1), st.integers(0, 5))
@settings(deadline=None)
def test_random_k_chooses_for_all_sites_alike_and_anew_each_round(length: int, fraction: float, index: int) -> None:
    stage = RandomK(fraction)
    places = stage.places(length, tiny.context(index))
    assert places.size == count_of(fraction, length)
    assert (np.diff(places) > 0).all()
    assert places[0] >= 0
    assert places[-1] < length
    east = replace(tiny.context(index), cohort=("east", "west"), site="east", population=9)
    np.testing.assert_array_equal(stage.places(length, east), places)


def test_random_k_is_uniform_and_rounds_and_seeds_differ() -> None:
    stage, rounds = RandomK(0.25), 400
    hits = np.zeros(60)
    for index in range(rounds):
        hits[stage.places(60, RoundContext(1, index, rounds, (), 0))] += 1
    # Binomial: mean 100, deviation 8.7.
    assert hits.min() > 100 - 5 * 8.7
    assert hits.max() < 100 + 5 * 8.7
    other = stage.places(60, RoundContext(2, 0, rounds, (), 0)).tolist()
    assert other != stage.places(60, RoundContext(1, 0, rounds, (), 0)).tolist()


def test_random_k_s_choice_is_the_same_for_ever() -> None:
    """Sites with several versions of NumPy must agree: the raw words of PCG64 are promised, `choice` is not."""
    assert RandomK(0.1).places(50, RoundContext(1, 0, 9, (), 0)).tolist() == [0, 19, 31, 35, 44]


def test_random_k_without_feedback_has_the_mean_of_the_change_and_a_larger_norm() -> None:
    change = {"x": np.linspace(-1, 1, 40, dtype=np.float32)}
    stage = RandomK(0.25, feedback=False)
    rounds = [stage.encode(change, RoundContext(1, index, 2000, (), 0))["x"] for index in range(2000)]
    np.testing.assert_allclose(np.mean(rounds, axis=0), change["x"], atol=5 * 3**0.5 / 2000**0.5)
    assert max(norm_of({"x": row}) for row in rounds) > norm_of(change)
    assert norm_of(RandomK(0.25).encode(change, tiny.context())) < norm_of(change)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_fractions_out_of_range_are_refused(fraction: float) -> None:
    for kind in (TopK, RandomK):
        with pytest.raises(PlanError, match="fraction"):
            kind(fraction)


@pytest.mark.parametrize("tau", [0.0, -1.0, float("inf"), float("nan")])
def test_thresholds_out_of_range_are_refused(tau: float) -> None:
    with pytest.raises(PlanError, match="tau"):
        Threshold(tau)
