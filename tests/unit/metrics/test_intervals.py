"""Bootstraps against slow loops over the same resamples; verdicts by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn import metrics as oracle

from wardround.errors import DataError
from wardround.metrics import intervals
from wardround.metrics.clinical import FloatArray, Predictions, balanced_accuracy, macro_auc
from wardround.metrics.intervals import (
    Estimate,
    cluster_weights,
    describe,
    paired_difference,
    site_mean_auc,
    verdict,
    worst_of,
)


def some_predictions(
    count: int = 60, seed: int = 0, skill: float = 0.5, malignant: tuple[str, ...] = ()
) -> Predictions:
    """Three classes on one fixed test set; `seed` and `skill` change the probabilities only."""
    fixed = np.random.default_rng(99)
    labels, groups = fixed.integers(0, 3, size=60), fixed.integers(0, 30, size=60).astype(str)
    raw = np.random.default_rng(seed).random((60, 3)) + skill * np.eye(3)[labels]
    return Predictions(raw / raw.sum(axis=1, keepdims=True), labels, groups, ("a", "b", "c"), malignant)


def slow_resamples(predictions: Predictions, replicates: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Row indices of each clustered resample, one group after another."""
    names = sorted(set(predictions.groups.tolist()))
    members = {name: np.flatnonzero(predictions.groups == name) for name in names}
    resamples = []
    for _ in range(replicates):
        drawn = rng.integers(0, len(names), size=len(names))
        resamples.append(np.concatenate([members[names[index]] for index in drawn]))
    return resamples


def slow_auc(predictions: Predictions, rows: np.ndarray) -> float:
    """Compare every positive with every negative, class by class."""
    areas = []
    for c in range(3):
        scores, positives = predictions.probabilities[rows, c], predictions.labels[rows] == c
        gaps = scores[positives][:, None] - scores[~positives][None]
        areas.append(((gaps > 0) + 0.5 * (gaps == 0)).mean())
    return float(np.mean(areas))


def test_describe_agrees_with_a_slow_clustered_bootstrap() -> None:
    predictions = some_predictions(malignant=("b",))
    got = describe(predictions, replicates=50, seed=4, min_positive_groups=2)
    resamples = slow_resamples(predictions, 50, np.random.default_rng(4))
    slow = {
        "auc": [slow_auc(predictions, rows) for rows in resamples],
        "auc_malignant": [
            oracle.roc_auc_score(predictions.labels[rows] == 1, predictions.probabilities[rows, 1])
            for rows in resamples
        ],
        "balanced_accuracy": [
            oracle.balanced_accuracy_score(predictions.labels[rows], predictions.predicted[rows]) for rows in resamples
        ],
        "f1": [
            oracle.f1_score(predictions.labels[rows], predictions.predicted[rows], average="macro")
            for rows in resamples
        ],
    }
    assert list(got.metrics) == ["auc", "auc_malignant", "balanced_accuracy", "f1", "calibration_error"]
    assert got.metrics["auc"].value == pytest.approx(slow_auc(predictions, np.arange(60)))
    for name, values in slow.items():
        low, high = np.percentile(values, [2.5, 97.5])
        assert (got.metrics[name].low, got.metrics[name].high) == (pytest.approx(low), pytest.approx(high)), name
    assert (got.num_examples, got.num_groups, got.auc_classes) == (60, len(set(predictions.groups)), ("a", "b", "c"))


def test_describe_reports_none_where_nothing_can_be_said() -> None:
    predictions = some_predictions()
    described = describe(predictions, replicates=20, min_positive_groups=1000)
    assert described.metrics["auc"] == Estimate(None, None, None, undefined=20)
    assert described.auc_classes == ()
    assert "auc_malignant" not in described.metrics
    assert described.metrics["f1"].value is not None
    empty = describe(predictions.take(np.zeros(60, dtype=bool)), replicates=20)
    assert {estimate.value for estimate in empty.metrics.values()} == {None}
    assert (empty.num_examples, empty.num_groups) == (0, 0)


def test_describe_counts_the_replicates_that_lack_a_class() -> None:
    labels, groups = np.array([0, 0, 0, 0, 1]), np.array(list("pqrst"))
    predictions = Predictions(np.eye(2)[labels], labels, groups, ("no", "yes"))
    estimate = describe(predictions, replicates=300, min_positive_groups=1).metrics["auc"]
    lacking = sum(
        not 0 < predictions.labels[rows].sum() < 5
        for rows in slow_resamples(predictions, 300, np.random.default_rng(0))
    )
    assert 0 < lacking < 300
    assert estimate == Estimate(1.0, 1.0, 1.0, undefined=lacking)


def test_describe_without_replicates_gives_values_alone() -> None:
    estimate = describe(some_predictions(), replicates=0, min_positive_groups=2).metrics["auc"]
    assert estimate.value is not None
    assert (estimate.low, estimate.high, estimate.undefined) == (None, None, 0)


def test_copies_of_a_row_within_its_group_do_not_narrow_the_interval() -> None:
    once = some_predictions()
    once = Predictions(once.probabilities, once.labels, np.arange(60).astype(str), once.classes)
    tenfold = once.take(np.repeat(np.arange(60), 10))
    a, b = (describe(p, replicates=100, min_positive_groups=2).metrics["auc"] for p in (once, tenfold))
    assert (a.low, a.high) == (pytest.approx(b.low), pytest.approx(b.high))


def test_weights_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.array([0, 1, 1, 2, 3, 3, 3])
    whole = list(cluster_weights(codes, 25, np.random.default_rng(0)))
    monkeypatch.setattr(intervals, "BLOCK_VALUES", 30)
    blocks = list(cluster_weights(codes, 25, np.random.default_rng(0)))
    assert (len(whole), len(blocks)) == (1, 7)
    np.testing.assert_array_equal(np.concatenate(blocks), whole[0])
    np.testing.assert_array_equal(whole[0][:, 1], whole[0][:, 2])
    np.testing.assert_array_equal(whole[0][:, [0, 1, 3, 4]].sum(axis=1), 4)


def test_paired_difference_agrees_with_a_slow_loop() -> None:
    a = [some_predictions(seed=seed, skill=0.6) for seed in range(3)]
    b = [some_predictions(seed=seed + 10, skill=0.3) for seed in range(3)]
    statistic = partial(macro_auc, min_positive_groups=2)
    got = paired_difference(a, b, statistic, replicates=40, seed=7)
    rng = np.random.default_rng(7)
    pairs = rng.integers(0, 3, size=(40, 3))
    slow = [
        np.mean([slow_auc(a[s], rows) - slow_auc(b[s], rows) for s in seeds])
        for seeds, rows in zip(pairs, slow_resamples(a[0], 40, rng), strict=True)
    ]
    rows = np.arange(60)
    expected = np.mean([slow_auc(x, rows) - slow_auc(y, rows) for x, y in zip(a, b, strict=True)])
    low, high = np.percentile(slow, [2.5, 97.5])
    assert (got.value, got.low, got.high) == (pytest.approx(expected), pytest.approx(low), pytest.approx(high))


def test_paired_difference_of_equals_is_nothing_and_turns_its_sign() -> None:
    a, b = [some_predictions(seed=0), some_predictions(seed=1)], [some_predictions(seed=2), some_predictions(seed=3)]
    assert paired_difference(a, a, balanced_accuracy, 30) == Estimate(0.0, 0.0, 0.0)
    forth, back = paired_difference(a, b, balanced_accuracy, 30), paired_difference(b, a, balanced_accuracy, 30)
    assert forth.value is not None
    assert forth.low is not None
    assert (-forth.value, -forth.low) == (pytest.approx(back.value), pytest.approx(back.high))


def test_paired_difference_varies_with_the_seeds_alone() -> None:
    """All groups alike: what is left in the interval is the choice of seeds."""

    def statistic(predictions: Predictions, weights: FloatArray) -> FloatArray:
        return np.full(weights.shape[:-1], predictions.probabilities[0, 0])

    a = [some_predictions(seed=seed) for seed in range(4)]
    gains = [p.probabilities[0, 0] - a[0].probabilities[0, 0] for p in a]
    got = paired_difference(a, [a[0]] * 4, statistic, replicates=2000)
    assert got.value == pytest.approx(np.mean(gains))
    assert got.low is not None
    assert got.high is not None
    assert min(gains) <= got.low < np.mean(gains) < got.high <= max(gains)


def test_paired_difference_refuses_other_rows() -> None:
    a = some_predictions()
    with pytest.raises(DataError, match="same rows"):
        paired_difference([a], [a.take(np.arange(60)[::-1])], balanced_accuracy)
    with pytest.raises(DataError, match="cannot be paired"):
        paired_difference([a, a], [a], balanced_accuracy)
    with pytest.raises(DataError, match="cannot be paired"):
        paired_difference([], [], balanced_accuracy)


def test_site_mean_auc_averages_the_sites() -> None:
    predictions = some_predictions()
    origins = np.array(["north", "south", "elsewhere"])[np.arange(60) % 3]
    got = site_mean_auc(origins, ("north", "south"), min_positive_groups=2)(predictions, np.ones((2, 60)))
    expected = [slow_auc(predictions, np.flatnonzero(origins == site)) for site in ("north", "south")]
    assert got.tolist() == [pytest.approx(np.mean(expected))] * 2


def test_site_mean_auc_keeps_a_site_s_classes_in_every_replicate() -> None:
    predictions = some_predictions()
    origins = np.where(np.arange(60) < 30, "north", "south")
    weights = np.ones((2, 60))
    weights[1, (origins == "south") & (predictions.labels == 2)] = 0
    got = site_mean_auc(origins, ("north", "south"), min_positive_groups=2)(predictions, weights)
    assert np.isnan(got).tolist() == [False, True]


def test_site_mean_auc_refuses_sites_without_rows() -> None:
    with pytest.raises(DataError, match="west"):
        site_mean_auc(np.array(["north", "south"]), ("north", "west"))


@pytest.mark.parametrize(
    ("estimate", "aim", "expected"),
    [
        (Estimate(0.000, -0.010, 0.01), -0.010, "met"),
        (Estimate(0.020, 0.000, 0.04), 0.015, "met"),
        (Estimate(0.020, -0.001, 0.04), 0.015, "undecided"),
        (Estimate(0.014, 0.010, 0.02), 0.015, "undecided"),
        (Estimate(0.010, 0.008, 0.0149), 0.015, "missed"),
        (Estimate(None, None, None), 0.0, "undecided"),
        (Estimate(1.0, None, None), 0.0, "undecided"),
    ],
)
def test_verdict(estimate: Estimate, aim: float, expected: str) -> None:
    assert verdict(estimate, aim) == expected


def test_the_worst_site_is_named_in_each_metric() -> None:
    sites = {
        "a": {"auc": 0.7, "calibration_error": 0.1, "f1": None},
        "b": {"auc": 0.6, "calibration_error": 0.3, "f1": None},
        "c": {"auc": None, "calibration_error": 0.2, "f1": None},
    }
    assert worst_of(sites) == {"auc": ("b", 0.6), "calibration_error": ("b", 0.3)}
    assert worst_of({}) == {}
