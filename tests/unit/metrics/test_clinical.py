"""Statistics against scikit-learn, a slow loop, and the laws they obey."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from wardround.errors import DataError
from wardround.metrics.clinical import (
    Predictions,
    Statistic,
    auc_classes,
    balanced_accuracy,
    binary_auc,
    calibration_error,
    confusion_matrix,
    macro_auc,
    macro_f1,
    malignant_auc,
    roc_curve,
)

STATISTICS: dict[str, Statistic] = {
    "auc": lambda predictions, weights: macro_auc(predictions, weights, min_positive_groups=1),
    "auc_malignant": malignant_auc,
    "balanced_accuracy": balanced_accuracy,
    "f1": macro_f1,
    "calibration_error": calibration_error,
}


def some_predictions(count: int = 300, classes: int = 4, seed: int = 0, decimals: int = 2) -> Predictions:
    """Better than chance, with ties (rounded probabilities) and about two images to a group."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, size=count)
    raw = rng.random((count, classes)) + 0.4 * np.eye(classes)[labels]
    probabilities = np.round(raw / raw.sum(axis=1, keepdims=True), decimals)
    probabilities[:, -1] = 1 - probabilities[:, :-1].sum(axis=1)
    groups = np.char.add("lesion ", rng.integers(0, count // 2, size=count).astype(str))
    return Predictions(np.abs(probabilities), labels, groups, tuple("abcdefgh"[:classes]), ("a", "c")[: classes - 1])


@pytest.mark.parametrize("seed", range(5))
def test_binary_auc_agrees_with_sklearn_under_weights_and_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, positives, weights = rng.integers(0, 9, 80), rng.random(80) < 0.3, rng.random((3, 80))
    got = binary_auc(scores, positives, weights)
    assert got.shape == (3,)
    for row, value in zip(weights, got, strict=True):
        assert value == pytest.approx(oracle.roc_auc_score(positives, scores, sample_weight=row), abs=1e-12)


def test_binary_auc_is_undefined_without_both_classes_or_without_their_weight() -> None:
    scores = np.array([0.1, 0.2, 0.3])
    assert np.isnan(binary_auc(scores, np.ones(3, dtype=bool)))
    assert np.isnan(binary_auc(scores, np.zeros(3, dtype=bool)))
    weights = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert np.isnan(binary_auc(scores, np.array([False, False, True]), weights)).tolist() == [True, False]


def test_macro_auc_agrees_with_sklearn() -> None:
    predictions = some_predictions()
    expected = oracle.roc_auc_score(predictions.labels, predictions.probabilities, multi_class="ovr", average="macro")
    assert float(macro_auc(predictions)) == pytest.approx(expected, abs=1e-12)
    assert auc_classes(predictions) == predictions.classes


def test_macro_auc_leaves_out_classes_with_too_few_groups_not_images() -> None:
    labels = np.repeat([0, 1, 2], 12)
    groups = np.array([f"p{i}" for i in range(24)] + ["one patient"] * 12)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=36)
    predictions = Predictions(probabilities, labels, groups, ("x", "y", "rare"))
    assert auc_classes(predictions) == ("x", "y")
    expected = np.mean([oracle.roc_auc_score(labels == c, probabilities[:, c]) for c in (0, 1)])
    assert float(macro_auc(predictions)) == pytest.approx(expected)
    assert auc_classes(predictions, 13) == ()
    assert np.isnan(macro_auc(predictions, min_positive_groups=13))


def test_macro_auc_needs_as_many_negative_groups() -> None:
    labels = np.array([0] * 20 + [1] * 3 + [2] * 3)
    predictions = Predictions(np.full((26, 3), 1 / 3), labels, np.arange(26).astype(str), ("x", "y", "z"))
    assert auc_classes(predictions, 10) == ()
    assert auc_classes(predictions, 6) == ("x",)


def test_macro_auc_of_two_classes_is_that_of_the_second() -> None:
    predictions = some_predictions(classes=2)
    assert auc_classes(predictions) == ("b",)
    expected = oracle.roc_auc_score(predictions.labels == 1, predictions.probabilities[:, 1])
    assert float(macro_auc(predictions)) == pytest.approx(expected)


def test_malignant_auc_ranks_by_the_summed_probability() -> None:
    predictions = some_predictions()
    malignant = np.isin(predictions.labels, [0, 2])
    expected = oracle.roc_auc_score(malignant, predictions.probabilities[:, [0, 2]].sum(axis=1))
    assert float(malignant_auc(predictions)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (balanced_accuracy, oracle.balanced_accuracy_score),
        (macro_f1, lambda *args, **kwargs: oracle.f1_score(*args, average="macro", **kwargs)),
    ],
)
def test_accuracy_and_f1_agree_with_sklearn(ours: Statistic, theirs: Callable[..., float]) -> None:
    predictions = some_predictions()
    weights = np.random.default_rng(1).random((2, len(predictions)))
    got = ours(predictions, weights)
    for row, value in zip(weights, got, strict=True):
        assert value == pytest.approx(theirs(predictions.labels, predictions.predicted, sample_weight=row))


def test_accuracy_and_f1_average_the_classes_that_occur() -> None:
    probabilities = np.eye(3)[[0, 0, 1, 2]]
    predictions = Predictions(probabilities, np.array([0, 0, 1, 1]), np.array(list("abcd")), ("x", "y", "never"))
    assert float(balanced_accuracy(predictions)) == pytest.approx((1 + 0.5) / 2)
    expected = oracle.f1_score(predictions.labels, predictions.predicted, labels=[0, 1], average="macro")
    assert float(macro_f1(predictions)) == pytest.approx(expected)


def test_confusion_matrix_agrees_with_sklearn() -> None:
    predictions = some_predictions()
    expected = oracle.confusion_matrix(predictions.labels, predictions.predicted, labels=range(4))
    np.testing.assert_array_equal(confusion_matrix(predictions), expected)
    assert confusion_matrix(predictions.take(np.array([], dtype=np.int64))).tolist() == np.zeros((4, 4)).tolist()


def slow_calibration_error(predictions: Predictions) -> float:
    total = 0.0
    for k in range(15):
        inside = []
        for row, label in zip(predictions.probabilities, predictions.labels, strict=True):
            if k / 15 < row.max() <= (k + 1) / 15:
                inside.append((row.max(), float(row.argmax() == label)))
        if inside:
            confidence, accuracy = np.mean(inside, axis=0)
            total += len(inside) / len(predictions) * abs(accuracy - confidence)
    return total


def test_calibration_error_agrees_with_a_slow_loop() -> None:
    predictions = some_predictions(decimals=9)
    assert float(calibration_error(predictions)) == pytest.approx(slow_calibration_error(predictions), abs=1e-12)


def test_calibration_error_of_certainty() -> None:
    right = Predictions(np.eye(2), np.array([0, 1]), np.array(["a", "b"]), ("x", "y"))
    wrong = Predictions(np.eye(2), np.array([1, 0]), np.array(["a", "b"]), ("x", "y"))
    assert (float(calibration_error(right)), float(calibration_error(wrong))) == (0.0, 1.0)


def test_roc_curve_passes_through_the_points_of_sklearn() -> None:
    predictions = some_predictions()
    scores, positives = predictions.probabilities[:, 0], predictions.labels == 0
    false_rate, true_rate = roc_curve(scores, positives)
    expected = oracle.roc_curve(positives, scores, drop_intermediate=False)
    np.testing.assert_allclose(np.interp(expected[0] + 1e-12, false_rate, true_rate), upper_end(*expected[:2]))
    area = np.trapezoid(true_rate, false_rate)
    assert area == pytest.approx(float(binary_auc(scores, positives)), abs=1e-12)


def upper_end(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The highest y at the same x: what interpolation just to the right of a vertical step sees."""
    return np.array([y[x == value].max() for value in x])


def test_roc_curve_is_thinned_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(0)
    scores, positives = rng.random(5000), rng.random(5000) < 0.5
    false_rate, true_rate = roc_curve(scores, positives)
    assert false_rate.size == true_rate.size == 200
    assert (false_rate[0], true_rate[0], false_rate[-1], true_rate[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(float(binary_auc(scores, positives)), abs=0.005)
    assert roc_curve(scores, np.ones(5000, dtype=bool))[0].size == 0


def test_roc_curve_of_a_perfect_and_of_a_useless_score_needs_three_and_two_points() -> None:
    positives = np.array([False, False, True, True])
    assert roc_curve(np.array([1, 2, 3, 4]), positives)[1].tolist() == [0, 1, 1]
    assert roc_curve(np.zeros(4), positives)[1].tolist() == [0, 1]


scores_of = hnp.arrays(np.float64, 30, elements=st.floats(-5, 5).map(lambda x: round(x, 1)))
masks = hnp.arrays(np.bool_, 30)


@settings(deadline=None)
@given(scores_of, masks)
def test_auc_does_not_change_under_monotone_maps(scores: np.ndarray, positives: np.ndarray) -> None:
    for mapped in (np.exp(scores), 3 * scores - 7):
        np.testing.assert_array_equal(binary_auc(scores, positives), binary_auc(mapped, positives))


@settings(deadline=None)
@given(scores_of, masks)
def test_auc_of_the_complement(scores: np.ndarray, positives: np.ndarray) -> None:
    np.testing.assert_allclose(binary_auc(scores, positives), 1 - binary_auc(-scores, positives), atol=1e-12)
    np.testing.assert_allclose(binary_auc(scores, positives), binary_auc(-scores, ~positives), atol=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
@settings(deadline=None)
@given(counts=hnp.arrays(np.int64, 40, elements=st.integers(0, 3)))
def test_a_weight_is_a_number_of_copies(name: str, counts: np.ndarray) -> None:
    predictions, statistic = some_predictions(count=40), STATISTICS[name]
    copies = predictions.take(np.repeat(np.arange(40), counts))
    weighted = statistic(predictions, counts.astype(np.float64))
    if name == "auc" and auc_classes(copies, 1) != auc_classes(predictions, 1):
        assert np.isnan(weighted)
    else:
        np.testing.assert_allclose(weighted, statistic(copies, np.ones(len(copies))), atol=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
def test_nothing_is_known_from_no_images(name: str) -> None:
    nothing = some_predictions().take(np.zeros(300, dtype=bool))
    assert np.isnan(STATISTICS[name](nothing, np.ones(0)))


def test_take_and_concatenate_are_inverse() -> None:
    whole = some_predictions()
    mask = np.arange(len(whole)) < 100
    again = Predictions.concatenate([whole.take(mask), whole.take(~mask)])
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)
    np.testing.assert_array_equal(again.labels, whole.labels)
    np.testing.assert_array_equal(again.groups, whole.groups)
    assert (again.classes, again.malignant, again.num_groups) == (whole.classes, whole.malignant, whole.num_groups)


def test_groups_are_counted_by_name() -> None:
    predictions = Predictions(np.eye(2)[[0, 1, 0]], np.array([0, 1, 0]), np.array(["q", "p", "q"]), ("x", "y"))
    assert (predictions.num_groups, predictions.group_codes.tolist()) == (2, [1, 0, 1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probabilities": np.ones((2, 3)) / 3}, "do not fit together"),
        ({"groups": np.array(["a"])}, "do not fit together"),
        ({"labels": np.array([0, 2])}, "outside 0 to 1"),
        ({"labels": np.array([-1, 0])}, "outside 0 to 1"),
        ({"labels": np.array([0, 1], dtype=np.uint8)}, "int64"),
        ({"malignant": ("z",)}, "not among the classes"),
        ({"probabilities": np.array([[0.5, 0.2], [0.5, 0.5]])}, "softmax"),
        ({"probabilities": np.array([[np.nan, 0.5], [0.5, 0.5]])}, "softmax"),
        ({"probabilities": np.array([[-0.5, 1.5], [0.5, 0.5]])}, "softmax"),
    ],
)
def test_predictions_refuse_what_does_not_fit(change: dict[str, object], words: str) -> None:
    good = {
        "probabilities": np.eye(2),
        "labels": np.array([0, 1]),
        "groups": np.array(["a", "b"]),
        "classes": ("x", "y"),
        "malignant": (),
    }
    Predictions(**good)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=words):
        Predictions(**{**good, **change})  # type: ignore[arg-type]


def test_concatenate_refuses_other_classes_and_nothing() -> None:
    three, four = some_predictions(classes=3), some_predictions(classes=4)
    with pytest.raises(DataError, match="cannot be pooled"):
        Predictions.concatenate([three, four])
    with pytest.raises(DataError, match="at least one part"):
        Predictions.concatenate([])
