"""Whitening is held against scikit-learn's Ledoit-Wolf estimate, inverted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from wardround.errors import DataError
from wardround.metrics.whitening import Whitening


def images(count: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    mixed = rng.normal(size=(count, features)) @ rng.normal(size=(features, features))
    labels = np.arange(count) % 2
    return mixed + 50.0 * labels[:, None], labels


@pytest.mark.parametrize(("count", "features"), [(40, 12), (10, 30)])
def test_it_is_the_inverse_of_the_shrunk_covariance_within_classes(count: int, features: int) -> None:
    rows, labels = images(count, features)
    found = Whitening.of(rows, labels)
    centred = np.concatenate([rows[labels == label] - rows[labels == label].mean(axis=0) for label in (0, 1)])
    oracle = LedoitWolf(assume_centered=True).fit(centred)
    assert found.shrinkage == pytest.approx(oracle.shrinkage_)
    vectors = np.random.default_rng(4).normal(size=(3, 2, features))
    np.testing.assert_allclose(found.applied(vectors), vectors @ np.linalg.inv(oracle.covariance_), rtol=1e-6)


def test_along_what_varies_the_way_is_short_and_across_it_long() -> None:
    rng = np.random.default_rng(5)
    bright = rng.normal(size=(60, 1)) * np.ones(16) + 0.01 * rng.normal(size=(60, 16))
    found = Whitening.of(bright, np.zeros(60, np.int64))
    light, mark = np.full(16, 0.25), np.eye(16)[3]
    assert np.linalg.norm(light) == pytest.approx(np.linalg.norm(mark))
    assert 5 * light @ found.applied(light) < mark @ found.applied(mark)


@pytest.mark.parametrize("rows", [np.zeros((1, 4)), np.zeros((5, 4)), np.zeros((0, 4))])
def test_images_that_do_not_vary_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(DataError, match="larger share"):
        Whitening.of(rows, np.zeros(len(rows), np.int64))
