"""What a classifier is worth: AUC, balanced accuracy, F1 and calibration, each with weights.

Every statistic takes `weights` of shape ``(..., N)`` and returns an array of shape ``(...)``: one call with a
``(replicates, N)`` matrix of multiplicities evaluates a whole bootstrap. Without weights every row counts once and the
result is a single number. A statistic that is undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.errors import DataError
from wardround.metrics.clusters import Clustered

FloatArray = NDArray[np.float64]
Statistic = Callable[["Predictions", FloatArray], FloatArray]
"""``(predictions, weights (..., N)) -> (...)``; each function here that takes predictions and weights is one."""

CALIBRATION_BINS = 15
ROW_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True, eq=False)
class Predictions(Clustered):
    """What a classifier said about N images, and what they are.

    Attributes:
        probabilities: float ``(N, C)``; finite, not negative, rows sum to one.
        labels: int64 ``(N,)``, indices into `classes`.
        groups: str ``(N,)``, the patient or lesion of each image; images that share a name are one cluster.
        classes: names of the C classes.
        malignant: those of `classes` that are malignant; may be empty.

    Raises:
        DataError: the arrays do not fit together, or hold values out of range.
    """

    probabilities: NDArray[Any]
    labels: NDArray[np.int64]
    groups: NDArray[Any]
    classes: tuple[str, ...]
    malignant: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        count, width = self.labels.size, len(self.classes)
        if self.probabilities.shape != (count, width) or self.labels.ndim != 1 or self.groups.shape != (count,):
            raise DataError(
                f"predictions of shape {self.probabilities.shape} with {count} labels, {self.groups.size} groups "
                f"and {width} classes do not fit together; give one row per image and one column per class"
            )
        if self.labels.dtype != np.int64:
            raise DataError(f"labels are {self.labels.dtype}; give int64 indices into the classes")
        if unknown := set(self.malignant) - set(self.classes):
            raise DataError(f"malignant names {sorted(unknown)}, which are not among the classes {list(self.classes)}")
        if count and (self.labels.min() < 0 or self.labels.max() >= width):
            raise DataError(f"labels reach from {self.labels.min()} to {self.labels.max()}, outside 0 to {width - 1}")
        sums = self.probabilities.sum(axis=1, dtype=np.float64)
        if (self.probabilities < 0).any() or not (np.abs(sums - 1) <= ROW_SUM_TOLERANCE).all():
            raise DataError("probabilities are negative, not finite or do not sum to one; apply a softmax first")

    def __len__(self) -> int:
        """Return the number of images."""
        return self.labels.size

    def take(self, chosen: NDArray[Any]) -> Predictions:
        """Return the rows in `chosen`, a boolean mask ``(N,)`` or indices."""
        return Predictions(
            self.probabilities[chosen], self.labels[chosen], self.groups[chosen], self.classes, self.malignant
        )

    @staticmethod
    def concatenate(parts: Sequence[Predictions]) -> Predictions:
        """Put the rows of several predictions below each other.

        Raises:
            DataError: there are no parts, or they name different classes.
        """
        if not parts:
            raise DataError("there are no predictions to concatenate; give at least one part")
        classes, malignant = parts[0].classes, parts[0].malignant
        for part in parts:
            if (part.classes, part.malignant) != (classes, malignant):
                raise DataError(f"predictions over {part.classes} and {classes} cannot be pooled; use the same classes")
        return Predictions(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.groups for part in parts]),
            classes,
            malignant,
        )

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each image, int64 ``(N,)``; the first of equals."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)


def binary_auc(scores: NDArray[Any], positives: NDArray[np.bool_], weights: FloatArray | None = None) -> FloatArray:
    """Area under the ROC curve: how often a positive outscores a negative; a tie counts one half (Mann-Whitney).

    Args:
        scores: ``(N,)``, finite.
        positives: bool ``(N,)``.
        weights: ``(..., N)``, not negative; every row counts once if absent.

    Returns:
        Shape ``(...)``, within [0, 1]; NaN where the positives or the negatives weigh nothing.
    """
    weights = _weights(weights, scores.size)
    positive, negative = np.flatnonzero(positives), np.flatnonzero(~positives)
    negative = negative[np.argsort(scores[negative], kind="stable")]
    below = np.searchsorted(scores[negative], scores[positive], side="left")
    not_above = np.searchsorted(scores[negative], scores[positive], side="right")
    lighter = np.zeros((*weights.shape[:-1], negative.size + 1))
    np.cumsum(weights[..., negative], axis=-1, out=lighter[..., 1:])
    own = weights[..., positive]
    won = np.einsum("...i,...i->...", own, lighter[..., below] + lighter[..., not_above]) / 2
    return _ratio(won, own.sum(axis=-1) * lighter[..., -1])


def auc_classes(predictions: Predictions, min_positive_groups: int = 10) -> tuple[str, ...]:
    """Name the classes that the macro AUC averages.

    They have at least `min_positive_groups` groups (patients, lesions) with an image of the class and as many with an
    image of another class. Of two classes only the second is named: its AUC is also the first one's.
    """
    return tuple(predictions.classes[column] for column in _auc_columns(predictions, min_positive_groups))


def macro_auc(
    predictions: Predictions, weights: FloatArray | None = None, *, min_positive_groups: int = 10
) -> FloatArray:
    """Average the one-versus-rest AUC over the classes that `auc_classes` names.

    The classes follow from all the rows, never from the weights, so bootstrap replicates average the same classes.

    Returns:
        Shape ``(...)``; NaN where there is no such class, or one of them has no positive or no negative weight.
    """
    weights = _weights(weights, len(predictions))
    columns = _auc_columns(predictions, min_positive_groups)
    if not columns:
        return np.full(weights.shape[:-1], np.nan)
    areas = [binary_auc(predictions.probabilities[:, c], predictions.labels == c, weights) for c in columns]
    return np.asarray(np.mean(areas, axis=0))


def malignant_auc(predictions: Predictions, weights: FloatArray | None = None) -> FloatArray:
    """AUC of the summed probability of the malignant classes against all others.

    Returns:
        Shape ``(...)``; NaN where no, or only, malignant images have weight.
    """
    columns = [predictions.classes.index(name) for name in predictions.malignant]
    scores = predictions.probabilities[:, columns].sum(axis=1, dtype=np.float64)
    return binary_auc(scores, np.isin(predictions.labels, columns), weights)


def balanced_accuracy(predictions: Predictions, weights: FloatArray | None = None) -> FloatArray:
    """Mean recall over the classes that have weight; shape ``(...)``, NaN without any weight."""
    weights = _weights(weights, len(predictions))
    actual, said = _indicators(predictions)
    support = weights @ actual
    return _mean_where(_ratio(weights @ (actual * said), support), support > 0)


def macro_f1(predictions: Predictions, weights: FloatArray | None = None) -> FloatArray:
    """Mean F1 score over the classes that have weight; shape ``(...)``, NaN without any weight.

    A class that is predicted but occurs in no row has no F1 of its own; its false alarms count as misses of the others.
    """
    weights = _weights(weights, len(predictions))
    actual, said = _indicators(predictions)
    support = weights @ actual
    return _mean_where(_ratio(2 * (weights @ (actual * said)), support + weights @ said), support > 0)


def calibration_error(predictions: Predictions, weights: FloatArray | None = None) -> FloatArray:
    """Compute the expected calibration error of the most probable class over 15 equal bins (Guo et al. 2017).

    ``ECE = sum over bins of (weight of the bin / total weight) * |accuracy - mean confidence|``, bins ``(low, high]``.

    Returns:
        Shape ``(...)``, within [0, 1]; NaN without any weight.
    """
    weights = _weights(weights, len(predictions))
    confidence, correct, bins = confidence_bins(predictions)
    gaps = np.eye(CALIBRATION_BINS)[bins] * (correct - confidence)[:, None]
    return _ratio(np.abs(weights @ gaps).sum(axis=-1), weights.sum(axis=-1))


def confidence_bins(predictions: Predictions) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.int64]]:
    """Return the probability of each predicted class, whether it is right, and its calibration bin, ``(N,)`` each."""
    confidence = predictions.probabilities.max(axis=1, initial=0).astype(np.float64)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    return confidence, predictions.predicted == predictions.labels, bins


def confusion_matrix(predictions: Predictions) -> NDArray[np.int64]:
    """Count images by class, int64 ``(C, C)``: rows are what they are, columns what was predicted."""
    width = len(predictions.classes)
    counts = np.bincount(predictions.labels * width + predictions.predicted, minlength=width * width)
    return counts.reshape(width, width).astype(np.int64)


def roc_curve(
    scores: NDArray[Any], positives: NDArray[np.bool_], max_points: int = 200
) -> tuple[FloatArray, FloatArray]:
    """Points of the ROC curve for a plot, from (0, 0) to (1, 1).

    Args:
        scores: ``(N,)``, finite.
        positives: bool ``(N,)``.
        max_points: corners beyond this number are thinned evenly; at least 2.

    Returns:
        False positive rates and true positive rates, ``(P,)`` each, P <= `max_points`; empty when a class is missing.
    """
    if not positives.any() or positives.all():
        return np.empty(0), np.empty(0)
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    hits = np.concatenate([[0], np.cumsum(positives[order])[last_of_tie]])
    alarms = np.concatenate([[0], np.cumsum(~positives[order])[last_of_tie]])
    turns = np.diff(hits[:-1]) * np.diff(alarms[1:]) != np.diff(hits[1:]) * np.diff(alarms[:-1])
    kept = np.concatenate([[0], np.flatnonzero(turns) + 1, [hits.size - 1]])
    if kept.size > max_points:
        kept = kept[np.linspace(0, kept.size - 1, max_points).round().astype(np.int64)]
    return alarms[kept] / alarms[-1], hits[kept] / hits[-1]


def _auc_columns(predictions: Predictions, min_positive_groups: int) -> list[int]:
    width = len(predictions.classes)
    has = np.zeros((predictions.num_groups, width), dtype=bool)
    has[predictions.group_codes, predictions.labels] = True
    has_other = has.sum(axis=1, keepdims=True) > has
    enough = (has.sum(axis=0) >= max(1, min_positive_groups)) & (has_other.sum(axis=0) >= max(1, min_positive_groups))
    return [c for c in range(width) if enough[c] and (width > 2 or c == 1)]


def _indicators(predictions: Predictions) -> tuple[FloatArray, FloatArray]:
    """Return what each image is and what was said of it, as float ``(N, C)`` of zeros and ones."""
    one_hot = np.eye(len(predictions.classes))
    return one_hot[predictions.labels], one_hot[predictions.predicted]


def _weights(weights: FloatArray | None, count: int) -> FloatArray:
    return np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    undefined = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(part, whole, out=undefined, where=np.asarray(whole > 0)))


def _mean_where(values: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    return _ratio(np.where(chosen, values, 0.0).sum(axis=-1), chosen.sum(axis=-1, dtype=np.float64))
