"""What synthetic images are worth, and what of it another party is believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wardround.errors import DataError
from wardround.metrics.features import FeaturePairs
from wardround.metrics.intervals import Description, Estimate
from wardround.metrics.measures import LEAST_SAMPLES, SampleMeasures, joined, measures_of

MEASURES = SampleMeasures(("a", "b"))


def pairs(count: int = 60, shift: float = 0.0, seed: int = 0) -> FeaturePairs:
    rng = np.random.default_rng(seed)
    real, made = rng.normal(0, 1, (2, count, 4)).astype(np.float32)
    return FeaturePairs(real, made + np.float32(shift), np.arange(count) % 3 // 2, np.arange(count).astype(str))


def test_a_shift_is_seen_in_every_distance() -> None:
    near, far = (MEASURES.describe(pairs(shift=shift), 0, 0, 1).metrics for shift in (0.0, 3.0))
    assert set(near) == set(MEASURES.bounds)
    for name, sign in (("frechet_random", 1), ("kernel_random", 1), ("precision", -1), ("coverage", -1)):
        assert sign * far[name].value > sign * near[name].value, name
    assert all(estimate.low is None for estimate in near.values())


def test_few_images_have_no_metrics() -> None:
    found = MEASURES.describe(pairs(LEAST_SAMPLES - 1), 100, 0, 1)
    assert all(estimate.value is None for estimate in found.metrics.values())
    assert found.num_examples == LEAST_SAMPLES - 1
    assert MEASURES.describe(pairs(LEAST_SAMPLES), 0, 0, 1).metrics["kernel_random"].value is not None


def test_by_class_measures_each_class_alone() -> None:
    whole = pairs(150)
    found = MEASURES.by_class(whole)
    alone = MEASURES.describe(whole.take(whole.labels == 0), 0, 0, 1).metrics
    assert found["a"] == {name: estimate.value for name, estimate in alone.items()}
    assert MEASURES.by_class(pairs(30))["b"]["kernel_random"] is None


def test_columns_travel_and_are_joined() -> None:
    one, other = pairs(30), pairs(40, seed=1)
    whole = joined(MEASURES, [one, other])
    assert isinstance(whole, FeaturePairs)
    assert np.array_equal(whole.real, np.concatenate([one.real, other.real]))
    assert len(whole) == 70
    assert measures_of("synthesis", ("a", "b")) == MEASURES


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.full(60, 2)},
        {"labels": np.zeros(60, np.int32)},
        {"real": np.full((60, 4), np.nan, np.float32)},
        {"real": np.zeros((60, 4))},
        {"made": np.zeros((60, 5), np.float32)},
        {"labels": np.zeros(59, np.int64)},
        {"real": np.zeros((60, 5000), np.float32), "made": np.zeros((60, 5000), np.float32)},
    ],
)
def test_columns_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    whole = pairs()
    with pytest.raises((DataError, ValueError)):
        MEASURES.outcome({**MEASURES.columns(whole), **changes}, whole.groups)


def test_numbers_that_contradict_themselves_are_refused_and_none_are_pooled() -> None:
    good = MEASURES.describe(pairs(), 0, 0, 1)
    MEASURES.check({}, good)
    lacking = Description({**good.metrics, "recall": Estimate(None)}, (), 60, 60)
    few = Description(good.metrics, (), 5, 5)
    for wrong in (lacking, few):
        with pytest.raises(ValueError, match="contradict"):
            MEASURES.check({}, wrong)
    pooled = MEASURES.pooled([(good, {}), (good, {})])
    assert pooled.num_examples == 120
    assert all(estimate.value is None for estimate in pooled.metrics.values())
