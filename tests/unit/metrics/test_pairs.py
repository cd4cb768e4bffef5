"""A change that teaches one class as another does harm, whatever its length, and whatever mix of classes it has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.metrics.clinical import Predictions
from wardround.metrics.pairs import LEAST_IMAGES, pairwise_harms

CLASSES = ("a", "b", "c")
LABELS = np.repeat([0, 1, 2], 20)


def said(logits: np.ndarray, labels: np.ndarray = LABELS) -> Predictions:
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    groups = np.arange(len(labels)).astype(str)
    return Predictions(probabilities.astype(np.float64), labels, groups, CLASSES, ())


def change(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return what learning `labels` does to the logits: the class of an image goes up, with noise."""
    return np.eye(3)[labels] + np.random.default_rng(seed).normal(0, 0.3, (len(labels), 3))


BASE = np.random.default_rng(9).normal(size=(60, 3))


def test_right_labels_separate_and_flipped_ones_mix() -> None:
    flipped = np.where(LABELS == 0, 1, LABELS)
    honest, poisoned = (pairwise_harms(said(BASE), said(BASE + 0.1 * change(made))) for made in (LABELS, flipped))
    assert set(honest) == {"a | b", "a | c", "b | c"}
    assert all(size < -1 for size, _ in honest.values())
    assert poisoned["a | b"][0] > -0.3
    swapped = np.select([LABELS == 0, LABELS == 1], [1, 0], LABELS)
    size, deviation = pairwise_harms(said(BASE), said(BASE + 0.1 * change(swapped)))["a | b"]
    assert size > 1
    assert size / deviation > 5


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 3), st.floats(-3, 3), st.integers(0, 99))
def test_neither_its_length_nor_the_mix_of_classes_changes_anything(length: float, shift: float, seed: int) -> None:
    moved = change(LABELS, seed)
    once = pairwise_harms(said(BASE), said(BASE + moved))
    other = pairwise_harms(said(BASE), said(BASE + length * moved + np.array([shift, 0.0, -shift])))
    for pair, (size, deviation) in once.items():
        assert other[pair] == pytest.approx((size, deviation), rel=1e-6, abs=1e-9)


def test_what_moves_nothing_does_no_harm_and_few_images_say_nothing() -> None:
    assert pairwise_harms(said(BASE), said(BASE)) == dict.fromkeys(("a | b", "a | c", "b | c"), (0.0, 0.0))
    few = np.array([0] * 50 + [1] * (LEAST_IMAGES - 1) + [2] * (10 - LEAST_IMAGES + 1))
    assert set(pairwise_harms(said(BASE, few), said(BASE + 1e-3 * BASE**2, few))) == {"a | c"}
