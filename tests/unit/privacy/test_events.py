"""Events as values and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.errors import PrivacyError
from wardround.privacy import DiscreteGaussian, Event, Gaussian, event_from_json, event_to_json

EVENTS = st.one_of(
    st.builds(Gaussian, st.floats(1e-3, 1e3), st.floats(1e-6, 1.0)),
    st.builds(DiscreteGaussian, st.floats(1e-3, 1e3), st.floats(1e-6, 1.0), st.floats(0, 0.5), st.floats(0, 1.0)),
)


@given(EVENTS)
def test_an_event_survives_the_way_through_json(event: Event) -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


@pytest.mark.parametrize(
    "values",
    [
        None,
        {},
        {"kind": "laplace", "noise_multiplier": 1.0, "sampling_rate": 1.0},
        {"kind": ["gaussian"], "noise_multiplier": 1.0, "sampling_rate": 1.0},
        {"kind": "gaussian", "noise_multiplier": 1.0},
        {"kind": "gaussian", "noise_multiplier": 0.0, "sampling_rate": 1.0},
        {"kind": "gaussian", "noise_multiplier": -1.0, "sampling_rate": 1.0},
        {"kind": "gaussian", "noise_multiplier": float("inf"), "sampling_rate": 1.0},
        {"kind": "gaussian", "noise_multiplier": float("nan"), "sampling_rate": 1.0},
        {"kind": "gaussian", "noise_multiplier": True, "sampling_rate": 1.0},
        {"kind": "gaussian", "noise_multiplier": 1.0, "sampling_rate": 1.5},
        {"kind": "gaussian", "noise_multiplier": 1.0, "sampling_rate": 1.0, "note": 1.0},
        {"kind": "discrete_gaussian", "noise_multiplier": 1.0, "sampling_rate": 1.0, "failure": 2.0, "gap": 0.0},
    ],
)
def test_anything_else_is_no_event(values: Any) -> None:
    with pytest.raises(PrivacyError):
        event_from_json(values)
