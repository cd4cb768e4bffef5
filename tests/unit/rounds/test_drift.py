"""Drift from sums: equal to numpy over all pixels, shared only where predictions are, and never believed unread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rigged import run

from wardround.core.codec import Message
from wardround.errors import WireError
from wardround.fabric.base import Answer
from wardround.rounds.assessment import Reader
from wardround.rounds.drift import Drift, drift_of, drifts_by_origin, feature_distances, from_tensors, to_tensors

IMAGES = tiny.images(300)
FEATURES = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)


def test_sums_over_a_site_are_those_over_all_its_pixels() -> None:
    drift = drift_of(IMAGES, [FEATURES[:256], FEATURES[256:]])
    pixels = IMAGES.pixels.astype(np.float64)
    np.testing.assert_allclose(drift.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(drift.deviation, pixels.std(axis=(0, 1, 2)), rtol=1e-9)
    for channel in range(3):
        expected, _ = np.histogram(pixels[..., channel], bins=16, range=(0, 256))
        np.testing.assert_array_equal(drift.histogram[channel], expected)
    np.testing.assert_allclose(drift.features, FEATURES.mean(axis=0), atol=1e-6)
    assert drift.spread == pytest.approx(FEATURES.var(axis=0).sum(), rel=1e-5)


def test_pooled_images_are_told_apart_by_origin() -> None:
    both = replace(IMAGES, origins=np.repeat(["b", "a"], [100, 200]))
    first, second = drifts_by_origin(both, [FEATURES])
    np.testing.assert_array_equal(first.histogram, drift_of(IMAGES.take(np.arange(100, 300)), []).histogram)
    np.testing.assert_allclose(second.features, FEATURES[:100].mean(axis=0), atol=1e-6)


def test_it_travels_and_is_read_as_it_was() -> None:
    drifts = [drift_of(IMAGES, [FEATURES]), drift_of(tiny.images(8), [FEATURES[:8]])]
    read = list(from_tensors(to_tensors(drifts), 2, 3))
    for before, after in zip(drifts, read, strict=True):
        for name in ("mean", "deviation", "histogram", "features", "spread"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert list(from_tensors({}, 2, 3)) == []


def changed(**changes: Any) -> dict[str, np.ndarray]:
    sent = to_tensors([drift_of(IMAGES, [FEATURES])])
    for name, change in changes.items():
        sent[f"drift_{name}"] = change(sent[f"drift_{name}"])
    return {name: value for name, value in sent.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": lambda value: value + np.inf},
        {"mean": lambda value: value + 1000},
        {"mean": lambda value: value.astype(np.float32)},
        {"mean": lambda value: None},
        {"deviation": lambda value: -value},
        {"histogram": lambda value: -value},
        {"histogram": lambda value: value.astype(np.float64)},
        {"histogram": lambda value: value[..., :8]},
        {"features": lambda value: value[0]},
        {"features": lambda value: np.zeros((1, 2**16 + 1))},
        {"features": lambda value: value + 1e300},
        {"spread": lambda value: value + 1e300},
        {"spread": lambda value: value - 1e9},
        {"spread": lambda value: np.zeros(2)},
    ],
)
def test_what_is_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        list(from_tensors(changed(**changes), 1, 3))
    assert list(from_tensors(changed(), 1, 3))


def test_distances_are_in_spreads_within_a_site() -> None:
    nothing = np.zeros(0)

    def site(mean: float, spread: float) -> Drift:
        return Drift(nothing, nothing, nothing, np.array([mean, 0.0]), spread)

    far = feature_distances({"a": site(0, 4.0), "b": site(6, 4.0), "c": site(0, 4.0)})
    assert far["a"] == {"b": pytest.approx(3.0), "c": 0.0}
    assert far["b"]["a"] == far["a"]["b"]
    assert feature_distances({"a": site(0, 0.0), "b": site(6, 0.0)}) == {}
    assert feature_distances({}) == {}


@pytest.mark.parametrize("share", ["predictions", "metrics"])
def test_it_leaves_a_site_only_where_predictions_do(tmp_path: Path, share: str) -> None:
    result, _, seen = run(tiny.plan(evaluation={"share": share, "every": 1}), tmp_path)
    drifts = {site: test.drift for site, test in result.test.sites.items()}
    assert set(drifts) == set(tiny.NAMES)
    sent = b"".join(frame for op, who, frame in seen.wire if op == "evaluate" and who != "coordinator")
    if share == "metrics":
        assert not any(drifts.values())
        assert b"drift_" not in sent
        return
    for site, drift in drifts.items():
        assert drift is not None
        expected = drift_of(tiny.site_data(site).test, [])
        np.testing.assert_array_equal(drift.histogram, expected.histogram)
        assert drift.features.size
    assert sent.count(b"drift_mean") == len(tiny.NAMES)  # the final test, and no look at the validation part


def test_a_site_that_makes_its_drift_up_fails_alone() -> None:
    reader = Reader(tiny.task(), 0, 0, 1)
    good = Message(
        {"origins": ["east"]},
        {
            "probabilities": np.full((8, 2), 0.5, np.float32),
            "labels": np.arange(8) % 2,
            "groups": np.arange(8),
            "origins": np.zeros(8, np.int64),
            **to_tensors([drift_of(tiny.images(8), [])]),
        },
    )
    assert reader.read(Answer("east", good))["east"].drift is not None
    bad = Message(good.fields, {**good.tensors, "drift_mean": np.full((1, 3), 300.0)})
    with pytest.raises(WireError, match="out of range"):
        reader.read(Answer("east", bad))
