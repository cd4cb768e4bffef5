"""Noise for a whole run from a target epsilon."""

from __future__ import annotations

import pytest

from wardround.errors import PlanError, PrivacyError
from wardround.privacy import DiscreteGaussian, Event, Gaussian, Privacy, calibrated, epsilon_of
from wardround.privacy.calibration import calibrated_for


@pytest.mark.parametrize(
    ("epsilon", "event", "count"),
    [(1.2, Gaussian(1.0, 0.07), 40), (8.0, DiscreteGaussian(1.0), 20), (0.5, DiscreteGaussian(1.0, 0.1), 30)],
)
def test_a_calibrated_run_meets_its_target_and_hardly_undercuts_it(epsilon: float, event: Event, count: int) -> None:
    multiplier = calibrated_for(epsilon, 1e-5, event, count)
    found = epsilon_of({type(event)(multiplier, event.sampling_rate): count}, 1e-5)
    assert 0.99 * epsilon < found <= epsilon


def test_the_events_own_failures_count_while_calibrating() -> None:
    clean = calibrated(1.0, 1e-5, lambda z: {DiscreteGaussian(z): 10})
    assert calibrated(1.0, 1e-5, lambda z: {DiscreteGaussian(z, failure=1e-7): 10}) > clean


def test_a_target_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises(PrivacyError, match="no noise gives"):
        calibrated(1.0, 1e-5, lambda z: {DiscreteGaussian(z, failure=1e-5): 1})
    with pytest.raises(PrivacyError, match="positive"):
        calibrated(0.0, 1e-5, lambda z: {Gaussian(z): 1})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"unit": "pixel"}, "unit"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"epsilon": 0.0}, "either"),
        ({"noise_multiplier": 1.0}, "either"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"randomness": "dice"}, "randomness"),
    ],
)
def test_a_claim_says_whose_presence_how_well_and_with_which_delta(changes: dict[str, object], says: str) -> None:
    good = {"unit": "image", "delta": 1e-5, "epsilon": 1.2}
    assert Privacy(**good).unit == "image"  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=says):
        Privacy(**{**good, **changes})  # type: ignore[arg-type]
