"""Copies of training images are found, and none where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.errors import DataError
from wardround.metrics.copies import Copies, sought_copies


def people(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 12))


def sought(made: np.ndarray, training: np.ndarray) -> Copies:
    return sought_copies(made, training, people(2, 150), np.random.default_rng(4), replicates=300)


def test_images_of_the_same_law_are_no_copies() -> None:
    found = sought(people(3, 200), people(1, 300))
    assert found.passes
    assert found.copied < 0.02
    assert found.low < 0.5 < found.high
    assert found.nearer_training == pytest.approx(0.5, abs=0.15)


def test_copies_with_a_little_noise_are_found() -> None:
    training = people(1, 300)
    found = sought(training[:200] + 0.02 * people(5, 200), training)
    assert not found.passes
    assert found.copied > 0.95
    assert found.nearer_training > 0.7
    assert found.low > 0.6


def test_a_few_copies_among_many_are_found() -> None:
    training = people(1, 300)
    made = people(3, 200)
    made[:20] = training[:20]
    found = sought(made, training)
    assert found.copied == pytest.approx(0.1, abs=0.02)
    assert not found.passes


@pytest.mark.parametrize("made", [people(1, 19), people(1, 30)[:, :5]])
def test_too_few_images_or_others_are_refused(made: np.ndarray) -> None:
    with pytest.raises(DataError, match="copies are sought among 20"):
        sought(made, people(2, 50))
