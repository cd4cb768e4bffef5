"""The noise stage's choices, and continuous noise."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.checker import Numbers, Unit, View
from wardround.errors import PlanError
from wardround.privacy import Gaussian
from wardround.privacy.words import Words
from wardround.protect.noise import AddNoise, NoiseScale, with_gaussian

TENSORS = {"net/a": np.ones((100, 100), np.float32), "stat/b": np.ones(50_00, np.float32)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_has_the_size_that_the_event_says(dtype: type) -> None:
    tensors = {name: value.astype(dtype) for name, value in TENSORS.items()}
    noisy, event = with_gaussian(tensors, NoiseScale(2.0, 0.5, 0.1, True, True), Words(1), rounding=0.25)
    assert event == Gaussian(2.0, 0.1)
    for value in noisy.values():
        assert value.dtype == dtype
        assert (value - 1).std() == pytest.approx(2.0 * 0.75, rel=0.04)


def test_what_a_record_cannot_change_is_left_out() -> None:
    noisy, _ = with_gaussian(TENSORS, NoiseScale(2.0, 0.5, 0.1, whole_site=False, seeded=True), Words(1))
    assert not np.any(noisy["stat/b"])
    assert np.all(noisy["net/a"] != 1)


def test_a_seed_repeats_and_the_operating_system_does_not() -> None:
    scale = NoiseScale(2.0, 0.5, 0.1, True, True)
    assert np.array_equal(*(with_gaussian(TENSORS, scale, Words(4))[0]["net/a"] for _ in range(2)))
    assert not np.array_equal(*(with_gaussian(TENSORS, scale, Words())[0]["net/a"] for _ in range(2)))


def test_contracts_say_who_carries_how_much() -> None:
    own, central, shares = AddNoise(), AddNoise(at="coordinator"), AddNoise("discrete_gaussian")
    assert own.contract.noise is not None
    assert own.contract.noise.covers is View.EACH
    assert central.contract.noise is not None
    assert central.contract.noise.by_opener
    assert shares.contract.noise is not None
    assert shares.contract.noise.covers is View.SUM
    assert shares.contract.noise.unit is Unit.SITE
    assert shares.contract.takes == {Numbers.INTEGER}
    assert [stage.is_own for stage in (own, central, shares)] == [True, False, False]


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"mechanism": "laplace"}, "mechanism"),
        ({"at": "server"}, "at"),
        ({"mechanism": "discrete_gaussian", "at": "coordinator"}, "shares"),
    ],
)
def test_a_choice_that_is_none_is_refused(choice: dict[str, str], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        AddNoise(**choice)
