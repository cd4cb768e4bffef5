"""Numbers as people read them, and the bins of the reliability diagram."""

from __future__ import annotations

import numpy as np
import pytest

from wardround.metrics.clinical import Predictions, calibration_error
from wardround.metrics.intervals import Estimate
from wardround.report import words
from wardround.report.results import reliability


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (28_500_000, "28.5 MB"), (3.2e9, "3.2 GB"), (7e13, "70.0 TB")],
)
def test_size(size_bytes: float, text: str) -> None:
    assert words.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.023, "0.02 s"), (42.4, "42 s"), (119.4, "119 s"), (600, "10 min"), (7500, "2 h 05 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("rounds", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 5], "0–2, 5"), ([0, 2, 3, 9, 10], "0, 2–3, 9–10")]
)
def test_round_ranges(rounds: list[int], text: str) -> None:
    assert words.round_ranges(rounds) == text


def test_lists() -> None:
    assert words.listed([]) == ""
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed("abcd", most=2) == "a, b and 2 more"


def test_intervals() -> None:
    assert words.interval(Estimate(0.5)) == ""
    assert words.interval(Estimate(0.5, 0.4, 0.61)) == "0.400–0.610"
    assert words.signed_interval(Estimate(0.0, -0.01, 0.02)) == "−0.010 to +0.020"
    assert words.decimal(None) == words.signed(None) == "–"


def test_a_name_without_words_stays_itself() -> None:
    assert words.name_of(words.ALGORITHMS, "newest") == "newest"
    assert words.how("newest", 1) == "by newest at 1 site"


def test_reliability_adds_up_to_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    raw = rng.random((200, 3)) ** 3
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    labels = rng.integers(0, 3, 200)
    found = Predictions(probabilities, labels, np.arange(200).astype(str), ("a", "b", "c"))
    said, right, numbers = reliability(found)
    assert numbers.sum() == 200
    assert np.sum(numbers / 200 * np.abs(said - right)) == pytest.approx(float(calibration_error(found)))
