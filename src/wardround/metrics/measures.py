"""What a task's outcomes are worth, and what of them leaves a site: one `Measures` for each task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from wardround.metrics import image_quality, segmentation
from wardround.metrics.clinical import Predictions, confusion_matrix
from wardround.metrics.features import FeaturePairs
from wardround.metrics.intervals import Description, Estimate, describe, describe_scores
from wardround.metrics.scores import Scores
from wardround.metrics.synthesis import frechet_distance, kernel_distance, overlap

Columns = Mapping[str, NDArray[Any]]
"""Arrays whose first dimension counts images, by name."""
Bounds = tuple[float, float]
"""The smallest and the largest value that a metric can have."""
SHARE: Bounds = (0.0, 1.0)
LENGTH: Bounds = (0.0, 1e9)
LEVEL_DB: Bounds = (-200.0, 200.0)
LEAST_SAMPLES = 20
"""Fewer images say nothing of how far two clouds of features are apart."""
ROUNDING = 1e-9


class Outcome(Protocol):
    """What a network said of N images, as far as the metrics need it."""

    @property
    def groups(self) -> NDArray[Any]:
        """Str ``(N,)``, the patient or lesion of each image."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...


class Measures(Protocol):
    """The metrics of a task, and the two forms in which they leave a site: by image, or added up."""

    @property
    def bounds(self) -> Mapping[str, Bounds]:
        """Metric -> what it can be, in the order of reports; the first that is defined heads them."""
        ...

    def columns(self, outcome: Any) -> dict[str, NDArray[Any]]:
        """Return what leaves a site of each image, where the images are published."""
        ...

    def outcome(self, columns: Columns, groups: NDArray[Any]) -> Outcome:
        """Put together what `columns` took apart; further arrays are left aside.

        Raises:
            KeyError: a column is missing.
            DataError: the columns do not fit together.
        """
        ...

    def describe(self, outcome: Any, replicates: int, seed: int, min_positives: int) -> Description:
        """Compute every metric with its interval; see `intervals.describe`."""
        ...

    def totals(self, outcome: Any) -> dict[str, NDArray[np.int64]]:
        """Return the counts that leave a site beside its metrics, from which metrics are pooled."""
        ...

    def check(self, totals: Columns, description: Description) -> None:
        """Check counts of another party.

        Raises:
            KeyError: they are missing.
            ValueError: they are no such counts, or contradict the description.
        """
        ...

    def pooled(self, tests: Sequence[tuple[Description, Columns]]) -> Description:
        """Add up the tests of several sites as far as their metrics and totals allow; without intervals."""
        ...


def is_legal(value: float, bounds: Bounds) -> bool:
    """Whether a metric can have this value, up to rounding."""
    return math.isfinite(value) and bounds[0] - ROUNDING <= value <= bounds[1] + ROUNDING


def joined(measures: Measures, outcomes: Sequence[Outcome]) -> Outcome:
    """Put outcomes of one task below each other; there is one at least.

    Raises:
        DataError: they do not fit together.
    """
    columns = [measures.columns(outcome) for outcome in outcomes]
    whole = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
    return measures.outcome(whole, np.concatenate([outcome.groups for outcome in outcomes]))


@dataclass(frozen=True)
class ClassMeasures:
    """Of class probabilities.

    Attributes:
        classes: their names.
        malignant: those that count as malignant; may be empty.
    """

    classes: tuple[str, ...]
    malignant: tuple[str, ...] = ()

    @property
    def bounds(self) -> Mapping[str, Bounds]:
        """All are shares; ``auc_malignant`` joins where malignant classes are named."""
        also = ("auc_malignant",) if self.malignant else ()
        return dict.fromkeys(("auc", *also, "balanced_accuracy", "f1", "calibration_error"), SHARE)

    def columns(self, outcome: Predictions) -> dict[str, NDArray[Any]]:
        """Return probabilities and labels."""
        return {"probabilities": outcome.probabilities, "labels": outcome.labels}

    def outcome(self, columns: Columns, groups: NDArray[Any]) -> Predictions:
        """Return predictions."""
        return Predictions(columns["probabilities"], columns["labels"], groups, self.classes, self.malignant)

    def describe(self, outcome: Predictions, replicates: int, seed: int, min_positives: int) -> Description:
        """See `intervals.describe`."""
        return describe(outcome, replicates, seed, min_positives)

    def totals(self, outcome: Predictions) -> dict[str, NDArray[np.int64]]:
        """Return the confusion matrix."""
        return {"confusion": confusion_matrix(outcome)}

    def check(self, totals: Columns, description: Description) -> None:
        """Check a confusion matrix."""
        confusion, width = totals["confusion"], len(self.classes)
        if confusion.shape != (width, width) or confusion.dtype != np.int64 or (confusion < 0).any():
            raise ValueError(f"its confusion matrix is {confusion.dtype} {confusion.shape}, or holds negative counts")
        if description.num_examples != confusion.sum():
            raise ValueError("its numbers of images and groups contradict its confusion matrix")

    def pooled(self, tests: Sequence[tuple[Description, Columns]]) -> Description:
        """Compute what confusion matrices allow: balanced accuracy and F1."""
        counts = sum((totals["confusion"] for _, totals in tests), np.zeros((1, 1), np.int64))
        support, said, hits = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
        present = support > 0
        undefined = Estimate(None)
        metrics = {"auc": undefined, "balanced_accuracy": undefined, "f1": undefined, "calibration_error": undefined}
        if present.any():
            metrics["balanced_accuracy"] = Estimate(float(np.mean(hits[present] / support[present])))
            metrics["f1"] = Estimate(float(np.mean(2 * hits[present] / (support[present] + said[present]))))
        total = sum(description.num_groups for description, _ in tests)
        return Description(metrics, (), int(counts.sum()), total)


@dataclass(frozen=True)
class ImageMeasures:
    """Of images that are scored one by one; a metric is the mean over the images for which it is defined.

    Attributes:
        bounds: metric -> what it can be.
    """

    bounds: Mapping[str, Bounds]

    def columns(self, outcome: Scores) -> dict[str, NDArray[Any]]:
        """Return the scores of each image."""
        return {name: outcome.values[name] for name in self.bounds}

    def outcome(self, columns: Columns, groups: NDArray[Any]) -> Scores:
        """Return scores.

        Raises:
            DataError: a score cannot be.
            ValueError: likewise.
        """
        scores = Scores({name: columns[name] for name in self.bounds}, groups)
        for name, bounds in self.bounds.items():
            found = scores.values[name][~np.isnan(scores.values[name])]
            if found.size and not (is_legal(float(found.min()), bounds) and is_legal(float(found.max()), bounds)):
                raise ValueError(f"its {name} reaches from {found.min():.4g} to {found.max():.4g}")
        return scores

    def describe(self, outcome: Scores, replicates: int, seed: int, min_positives: int) -> Description:
        """See `intervals.describe_scores`."""
        return describe_scores(outcome, replicates, seed)

    def totals(self, outcome: Scores) -> dict[str, NDArray[np.int64]]:
        """Return for how many images each metric is defined, in the order of `bounds`."""
        defined = [np.count_nonzero(~np.isnan(outcome.values[name])) for name in self.bounds]
        return {"defined": np.array(defined, dtype=np.int64)}

    def check(self, totals: Columns, description: Description) -> None:
        """Check the numbers of images."""
        defined = totals["defined"]
        if defined.shape != (len(self.bounds),) or defined.dtype != np.int64:
            raise ValueError(f"its numbers of scored images are {defined.dtype} {defined.shape}")
        for name, count in zip(self.bounds, defined.tolist(), strict=True):
            if not 0 <= count <= description.num_examples or (count > 0) != (
                description.metrics[name].value is not None
            ):
                raise ValueError(f"{count} images with a {name} contradict its metrics or its number of images")

    def pooled(self, tests: Sequence[tuple[Description, Columns]]) -> Description:
        """Weigh each site's mean by the images that it is the mean of: this is the mean over all of them."""
        metrics = {}
        for place, name in enumerate(self.bounds):
            sums = [
                (description.metrics[name].value or 0.0, int(totals["defined"][place])) for description, totals in tests
            ]
            count = sum(number for _, number in sums)
            metrics[name] = Estimate(sum(value * number for value, number in sums) / count if count else None)
        examples = sum(description.num_examples for description, _ in tests)
        return Description(metrics, (), examples, sum(description.num_groups for description, _ in tests))


@dataclass(frozen=True)
class SampleMeasures:
    """Of synthetic images beside real ones, on random features, whose name the metrics bear.

    Distances between clouds of images have no mean over images: there are no bootstrap intervals, which would be
    biased, and sites that send numbers alone cannot be pooled.

    Attributes:
        classes: their names.
    """

    classes: tuple[str, ...]

    bounds: ClassVar[Mapping[str, Bounds]] = {
        "frechet_random": LENGTH,
        "kernel_random": (-1e9, 1e9),
        "precision": SHARE,
        "recall": SHARE,
        "density": LENGTH,
        "coverage": SHARE,
    }

    def columns(self, outcome: FeaturePairs) -> dict[str, NDArray[Any]]:
        """Return the features of real and synthetic images, and their classes."""
        return {"real": outcome.real, "made": outcome.made, "labels": outcome.labels}

    def outcome(self, columns: Columns, groups: NDArray[Any]) -> FeaturePairs:
        """Return features.

        Raises:
            ValueError: a label is no class.
        """
        pairs = FeaturePairs(columns["real"], columns["made"], columns["labels"], groups)
        if len(pairs) and not 0 <= pairs.labels.min() <= pairs.labels.max() < len(self.classes):
            raise ValueError(f"its labels run from {pairs.labels.min()} to {pairs.labels.max()}")
        return pairs

    def describe(self, outcome: FeaturePairs, replicates: int, seed: int, min_positives: int) -> Description:
        """Compute every metric, without intervals; none where there are fewer than `LEAST_SAMPLES` images."""
        groups = np.unique(outcome.groups).size
        if len(outcome) < LEAST_SAMPLES:
            return Description(dict.fromkeys(self.bounds, Estimate(None)), (), len(outcome), groups)
        shared = overlap(outcome.real, outcome.made)
        values = {
            "frechet_random": frechet_distance(outcome.real, outcome.made),
            "kernel_random": kernel_distance(outcome.real, outcome.made),
            "precision": shared.precision,
            "recall": shared.recall,
            "density": shared.density,
            "coverage": shared.coverage,
        }
        return Description({name: Estimate(values[name]) for name in self.bounds}, (), len(outcome), groups)

    def by_class(self, outcome: Any) -> dict[str, dict[str, float | None]]:
        """Return class -> metric -> value; ``None`` for a class that too few images show."""
        described = {
            name: self.describe(outcome.take(outcome.labels == place), 0, 0, 1)
            for place, name in enumerate(self.classes)
        }
        return {
            name: {metric: estimate.value for metric, estimate in found.metrics.items()}
            for name, found in described.items()
        }

    def totals(self, outcome: FeaturePairs) -> dict[str, NDArray[np.int64]]:
        """Return nothing: distances are not pooled from numbers."""
        return {}

    def check(self, totals: Columns, description: Description) -> None:
        """Check that metrics are there where there are enough images, and only there."""
        enough = description.num_examples >= LEAST_SAMPLES
        if any((estimate.value is not None) != enough for estimate in description.metrics.values()):
            raise ValueError(f"its metrics contradict its number of images, {description.num_examples}")

    def pooled(self, tests: Sequence[tuple[Description, Columns]]) -> Description:
        """Add up images and groups; no metric."""
        examples = sum(description.num_examples for description, _ in tests)
        groups = sum(description.num_groups for description, _ in tests)
        return Description(dict.fromkeys(self.bounds, Estimate(None)), (), examples, groups)


def measures_of(task: str, classes: tuple[str, ...] = (), malignant: tuple[str, ...] = ()) -> Measures:
    """Return the measures of a task by the name that a plan gives it.

    Raises:
        KeyError: there is no such task.
    """
    found: dict[str, Measures] = {
        "classification": ClassMeasures(classes, malignant),
        "segmentation": SEGMENTATION,
        "restoration": RESTORATION,
        "synthesis": SampleMeasures(classes),
    }
    return found[task]


SEGMENTATION = ImageMeasures(dict(zip(segmentation.METRICS, (SHARE, SHARE, LENGTH, LENGTH), strict=True)))
RESTORATION = ImageMeasures(dict(zip(image_quality.METRICS, (LEVEL_DB, (-1.0, 1.0), SHARE, LEVEL_DB), strict=True)))
"""RMSE counts the whole range of grey levels as 1."""
