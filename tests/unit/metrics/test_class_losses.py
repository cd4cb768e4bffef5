"""A change that teaches one class as another costs that class, and the cost is what the losses say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import sem
from sklearn.metrics import log_loss

from wardround.metrics.class_losses import LEAST_IMAGES, class_harms
from wardround.metrics.clinical import Predictions

CLASSES = ("a", "b", "c")
LABELS = np.repeat([0, 1, 2], 20)
BASE = np.random.default_rng(9).normal(size=(60, 3))


def said(logits: np.ndarray, labels: np.ndarray = LABELS) -> Predictions:
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    groups = np.arange(len(labels)).astype(str)
    return Predictions(probabilities.astype(np.float64), labels, groups, CLASSES, ())


def change(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return what learning `labels` does to the logits: the class of an image goes up, with noise."""
    return np.eye(3)[labels] + np.random.default_rng(seed).normal(0, 0.3, (len(labels), 3))


def test_right_labels_help_every_class_and_a_flip_costs_the_flipped_one() -> None:
    flipped = np.where(LABELS == 0, 1, LABELS)
    honest, poisoned = (class_harms(said(BASE), said(BASE + change(made))) for made in (LABELS, flipped))
    assert all(size < 0 for size, _ in honest.values())
    size, error = poisoned["a"]
    assert size / error > 3
    assert size > max(poisoned[name][0] for name in "bc") + 3 * error


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99))
def test_sizes_and_errors_are_those_of_independent_libraries(seed: int) -> None:
    before, after = said(BASE), said(BASE + change(LABELS, seed))
    for label, (size, error) in enumerate(class_harms(before, after).values()):
        rows = np.flatnonzero(LABELS == label)
        losses = [
            [log_loss([label], [p[i]], labels=[0, 1, 2]) for i in rows]
            for p in (before.probabilities, after.probabilities)
        ]
        assert size == pytest.approx(np.mean(losses[1]) - np.mean(losses[0]))
        assert error == pytest.approx(sem(np.subtract(losses[1], losses[0])))


def test_what_moves_nothing_costs_nothing_and_few_images_say_nothing() -> None:
    assert class_harms(said(BASE), said(BASE)) == dict.fromkeys(CLASSES, (0.0, 0.0))
    few = np.array([0] * 40 + [1] * (LEAST_IMAGES - 1) + [2] * (20 - LEAST_IMAGES + 1))
    assert set(class_harms(said(BASE, few), said(2 * BASE, few))) == {"a", "c"}


def test_an_image_that_is_lost_for_certain_counts_as_much_as_a_probability_of_a_billionth() -> None:
    lost = BASE.copy()
    lost[0] = (-2000.0, 0.0, 0.0)
    size, _ = class_harms(said(BASE), said(lost))["a"]
    assert size < np.log(1e9) / 20 + 1
