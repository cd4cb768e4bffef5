"""What the sites' answers to ``evaluate`` add up to: metrics by site, and pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wardround.core.codec import Message
from wardround.errors import DataError, WireError
from wardround.fabric.base import Answer
from wardround.metrics.clinical import Predictions, confusion_matrix
from wardround.metrics.intervals import Description, Estimate, describe
from wardround.rounds.checks import shown
from wardround.rounds.drift import Drift, from_tensors
from wardround.tasks.classification import Classification

METRICS = frozenset({"auc", "balanced_accuracy", "f1", "calibration_error"})
"""What every description holds; ``auc_malignant`` joins where malignant classes are named."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class SiteTest:
    """What is known of one site's images under test.

    Attributes:
        description: metrics with intervals.
        confusion: int64 ``(C, C)``, rows true, columns predicted.
        predictions: ``None`` where they may not leave the site.
        drift: what the images look like, all together; ``None`` where that may not leave the site.
    """

    description: Description
    confusion: np.ndarray
    predictions: Predictions | None = None
    drift: Drift | None = None


@dataclass(frozen=True)
class Assessment:
    """One model on one part of every site's images.

    Attributes:
        sites: by the site that holds the images, sorted.
        pooled: over all images; without predictions only what confusion matrices allow.
    """

    sites: Mapping[str, SiteTest]
    pooled: Description

    def values(self) -> dict[str, dict[str, float | None]]:
        """Return site (and ``pooled``) -> metric -> value."""
        descriptions = {name: test.description for name, test in self.sites.items()} | {"pooled": self.pooled}
        return {
            name: {metric: estimate.value for metric, estimate in description.metrics.items()}
            for name, description in descriptions.items()
        }


@dataclass(frozen=True)
class Reader:
    """Reads the replies to one ``evaluate`` and adds them up. Nothing in a reply is trusted to be well formed.

    Attributes:
        task: names the classes.
        replicates: of the bootstrap; 0 for values without intervals.
        seed: of the bootstrap.
        min_positives: see `Evaluation.min_positives`.
        pooled: whether one place holds the images of all sites and answers for them.
    """

    task: Classification
    replicates: int
    seed: int
    min_positives: int
    pooled: bool = False

    def read(self, answer: Answer) -> dict[str, SiteTest]:
        """Return what one reply says, by the site that holds the images; empty if it holds none.

        Raises:
            WireError: there is no reply, or it does not hold what a site of this plan sends.
        """
        if answer.message is None:
            raise WireError(answer.failure or "the site gave no answer")
        try:
            if "metrics" in answer.message.fields:
                return {answer.site: self._numbers(answer.message)}
            return self._predictions(answer.site, answer.message)
        except (KeyError, TypeError, ValueError, IndexError, DataError) as error:
            raise WireError(f"the evaluation cannot be read: {type(error).__name__}: {error}") from error

    def assessment(self, tests: Mapping[str, SiteTest]) -> Assessment:
        """Pool what was read."""
        ordered = dict(sorted(tests.items()))
        predictions = [test.predictions for test in ordered.values() if test.predictions is not None]
        if predictions and len(predictions) == len(ordered):
            pooled = describe(Predictions.concatenate(predictions), self.replicates, self.seed, self.min_positives)
        else:
            pooled = _from_confusion(ordered)
        return Assessment(ordered, pooled)

    def _numbers(self, reply: Message) -> SiteTest:
        fields, width = reply.fields, len(self.task.classes)
        expected = METRICS | ({"auc_malignant"} if self.task.malignant else set())
        if set(fields["metrics"]) != expected:
            raise ValueError(f"its metrics are {shown(sorted(fields['metrics']))}, not {', '.join(sorted(expected))}")
        metrics = {name: _estimate(values) for name, values in fields["metrics"].items()}
        auc_classes = tuple(name for name in self.task.classes if name in fields["auc_classes"])
        confusion = reply.tensors["confusion"]
        if confusion.shape != (width, width) or confusion.dtype != np.int64 or (confusion < 0).any():
            raise ValueError(f"its confusion matrix is {confusion.dtype} {confusion.shape}, or holds negative counts")
        examples, groups = _count(fields["num_examples"]), _count(fields["num_groups"])
        if examples != confusion.sum() or groups > examples:
            raise ValueError("its numbers of images and groups contradict its confusion matrix")
        return SiteTest(Description(metrics, auc_classes, examples, groups), confusion)

    def _predictions(self, site: str, reply: Message) -> dict[str, SiteTest]:
        names, numbers = reply.fields["origins"], reply.tensors["origins"]
        if not isinstance(names, list) or len(set(names)) != len(names) or not (self.pooled or set(names) <= {site}):
            raise ValueError(f"it speaks for {shown(names)}")
        groups, labels = reply.tensors["groups"], reply.tensors["labels"]
        if not numbers.shape == groups.shape == labels.shape or not np.isin(numbers, np.arange(len(names))).all():
            raise ValueError("its origins, groups and labels do not fit together")
        drifts = list(from_tensors(reply.tensors, len(names), self.task.channels))
        tests = {}
        for index, origin in enumerate(names):
            rows = numbers == index
            # Numbered within the origin, so that a pooled and a federated run name a patient alike.
            patients = np.unique(groups[rows], return_inverse=True)[1]
            patient = np.array([f"{origin}/{number}" for number in patients.tolist()], dtype=str)
            mine = Predictions(
                reply.tensors["probabilities"][rows], labels[rows], patient, self.task.classes, self.task.malignant
            )
            description = describe(mine, self.replicates, self.seed, self.min_positives)
            drift = drifts[index] if drifts else None
            tests[origin] = SiteTest(description, confusion_matrix(mine), mine, drift)
        return tests


def _estimate(values: Any) -> Estimate:
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(f"{shown(values)} is no value with two ends")
    for value in values:
        if value is not None and (type(value) not in (int, float) or not -ROUNDING <= value <= 1 + ROUNDING):
            raise ValueError(f"{shown(value)} is no metric between 0 and 1")
    return Estimate(*values)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{shown(value)} is no count")
    return value


def _from_confusion(tests: Mapping[str, SiteTest]) -> Description:
    counts = sum((test.confusion for test in tests.values()), np.zeros((1, 1), np.int64))
    support, said, hits = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    present = support > 0
    undefined = Estimate(None)
    metrics = {"auc": undefined, "balanced_accuracy": undefined, "f1": undefined, "calibration_error": undefined}
    if present.any():
        metrics["balanced_accuracy"] = Estimate(float(np.mean(hits[present] / support[present])))
        metrics["f1"] = Estimate(float(np.mean(2 * hits[present] / (support[present] + said[present]))))
    total = sum(test.description.num_groups for test in tests.values())
    return Description(metrics, (), int(counts.sum()), total)
