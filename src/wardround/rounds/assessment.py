"""What the sites' answers to ``evaluate`` add up to: metrics by site, and pooled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from wardround.core.codec import Message
from wardround.errors import DataError, SiteError
from wardround.metrics.clinical import Predictions, confusion_matrix
from wardround.metrics.intervals import Description, Estimate, describe
from wardround.rounds.plan import Evaluation
from wardround.tasks.classification import Classification


@dataclass(frozen=True)
class SiteTest:
    """What is known of one site's images under test.

    Attributes:
        description: metrics with intervals.
        confusion: int64 ``(C, C)``, rows true, columns predicted.
        predictions: ``None`` where they may not leave the site.
    """

    description: Description
    confusion: np.ndarray
    predictions: Predictions | None = None


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


def assess(
    replies: Iterable[tuple[str, Message]], task: Classification, evaluation: Evaluation, replicates: int, seed: int
) -> Assessment:
    """Add up the replies to one ``evaluate``.

    Args:
        replies: site and message, in cohort order.
        replicates: of the bootstrap; 0 for values without intervals.
        seed: of the bootstrap.

    Raises:
        SiteError: a reply does not hold what a site of this plan sends.
    """
    tests: dict[str, SiteTest] = {}
    for site, reply in replies:
        try:
            tests |= _read(site, reply, task, evaluation, replicates, seed)
        except (KeyError, TypeError, ValueError, IndexError, DataError) as error:
            raise SiteError(f"{site} sent an evaluation that cannot be read: {error}") from error
    ordered = dict(sorted(tests.items()))
    predictions = [test.predictions for test in ordered.values() if test.predictions is not None]
    if len(predictions) == len(ordered) and ordered:
        pooled = describe(Predictions.concatenate(predictions), replicates, seed, evaluation.min_positives)
    else:
        pooled = _from_confusion(ordered)
    return Assessment(ordered, pooled)


def _read(
    site: str, reply: Message, task: Classification, evaluation: Evaluation, replicates: int, seed: int
) -> dict[str, SiteTest]:
    if "metrics" in reply.fields:
        metrics = {name: Estimate(*values) for name, values in reply.fields["metrics"].items()}
        fields = reply.fields
        description = Description(
            metrics, tuple(fields["auc_classes"]), int(fields["num_examples"]), int(fields["num_groups"])
        )
        return {site: SiteTest(description, np.asarray(reply.tensors["confusion"], np.int64))}
    tests = {}
    names, numbers = np.asarray(reply.fields["origins"], dtype=str), reply.tensors["origins"]
    for index, origin in enumerate(names.tolist()):
        rows = numbers == index
        # Numbered within the origin, so that a pooled and a federated run name a patient alike.
        patients = np.unique(reply.tensors["groups"][rows], return_inverse=True)[1]
        groups = np.array([f"{origin}/{number}" for number in patients.tolist()], dtype=str)
        probabilities, labels = reply.tensors["probabilities"][rows], reply.tensors["labels"][rows]
        mine = Predictions(probabilities, labels, groups, task.classes, task.malignant)
        description = describe(mine, replicates, seed, evaluation.min_positives)
        tests[origin] = SiteTest(description, confusion_matrix(mine), mine)
    return tests


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
