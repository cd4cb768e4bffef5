"""What the sites' answers to ``evaluate`` add up to: metrics by site, and pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wardround.core.codec import Message
from wardround.core.update import Tensors
from wardround.errors import DataError, WireError
from wardround.fabric.base import Answer
from wardround.metrics.intervals import Description, Estimate
from wardround.metrics.measures import Bounds, Columns, Outcome, is_legal, joined
from wardround.rounds.checks import shown
from wardround.rounds.drift import Drift, from_tensors
from wardround.rounds.pictures import ROWS, read_pictures
from wardround.tasks import Task


@dataclass(frozen=True)
class SiteTest:
    """What is known of one site's images under test.

    Attributes:
        description: metrics with intervals.
        totals: counts beside the metrics; see `Measures.totals`.
        outcome: image by image; ``None`` where that may not leave the site.
        pictures: of some of the images, and their scores; see `pictures.read_pictures`.
        drift: what the images look like, all together; ``None`` where that may not leave the site.
    """

    description: Description
    totals: Columns
    outcome: Outcome | None = None
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    drift: Drift | None = None


@dataclass(frozen=True)
class Assessment:
    """One model on one part of every site's images.

    Attributes:
        sites: by the site that holds the images, sorted.
        pooled: over all images; without the outcomes of single images only what the sites' totals allow.
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
        task: names the classes, and measures outcomes.
        replicates: of the bootstrap; 0 for values without intervals.
        seed: of the bootstrap.
        min_positives: see `Evaluation.min_positives`.
        pooled: whether one place holds the images of all sites and answers for them.
    """

    task: Task
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
            return self._outcomes(answer.site, answer.message)
        except (KeyError, TypeError, ValueError, IndexError, DataError) as error:
            raise WireError(f"the evaluation cannot be read: {type(error).__name__}: {error}") from error

    def assessment(self, tests: Mapping[str, SiteTest]) -> Assessment:
        """Pool what was read."""
        ordered = dict(sorted(tests.items()))
        measures = self.task.measures
        outcomes = [test.outcome for test in ordered.values() if test.outcome is not None]
        if outcomes and len(outcomes) == len(ordered):
            pooled = self._described(joined(measures, outcomes))
        else:
            pooled = measures.pooled([(test.description, test.totals) for test in ordered.values()])
        return Assessment(ordered, pooled)

    def _described(self, outcome: Outcome) -> Description:
        return self.task.measures.describe(outcome, self.replicates, self.seed, self.min_positives)

    def _numbers(self, reply: Message) -> SiteTest:
        fields, measures = reply.fields, self.task.measures
        expected = measures.bounds
        if set(fields["metrics"]) != set(expected):
            raise ValueError(f"its metrics are {shown(sorted(fields['metrics']))}, not {', '.join(sorted(expected))}")
        metrics = {name: _estimate(values, expected[name]) for name, values in fields["metrics"].items()}
        auc_classes = tuple(name for name in self.task.classes if name in fields["auc_classes"])
        examples, groups = _count(fields["num_examples"]), _count(fields["num_groups"])
        if groups > examples:
            raise ValueError("it tells of more groups than images")
        description = Description(metrics, auc_classes, examples, groups)
        measures.check(reply.tensors, description)
        return SiteTest(description, reply.tensors)

    def _outcomes(self, site: str, reply: Message) -> dict[str, SiteTest]:
        names, numbers = reply.fields["origins"], reply.tensors["origins"]
        if not isinstance(names, list) or len(set(names)) != len(names) or not (self.pooled or set(names) <= {site}):
            raise ValueError(f"it speaks for {shown(names)}")
        groups, measures = reply.tensors["groups"], self.task.measures
        if not numbers.shape == groups.shape or not np.isin(numbers, np.arange(len(names))).all():
            raise ValueError("its origins and groups do not fit together")
        whole = measures.outcome(reply.tensors, groups.astype(np.str_))
        pictures = read_pictures(self.task, reply.tensors, numbers)
        drifts = list(from_tensors(reply.tensors, len(names), self.task.channels))
        tests = {}
        for index, origin in enumerate(names):
            rows = numbers == index
            # Numbered within the origin, so that a pooled and a federated run name a patient alike.
            patients = np.unique(groups[rows], return_inverse=True)[1]
            patient = np.array([f"{origin}/{number}" for number in patients.tolist()], dtype=str)
            columns = {name: column[rows] for name, column in measures.columns(whole).items()}
            mine = measures.outcome(columns, patient)
            shows = self._shown(pictures, rows, columns)
            drift = drifts[index] if drifts else None
            tests[origin] = SiteTest(self._described(mine), measures.totals(mine), mine, shows, drift)
        return tests

    def _shown(self, pictures: Tensors, rows: np.ndarray, columns: Columns) -> dict[str, np.ndarray]:
        """Return those of the pictures that are of images in `rows`, with their scores in place of their numbers."""
        if not pictures:
            return {}
        mine = rows[pictures[ROWS]]
        scores = next(iter(columns.values()))[np.cumsum(rows)[pictures[ROWS][mine]] - 1]
        return {"score": scores, **{name: pictures[name][mine] for name in self.task.shows}}


def _estimate(values: Any, bounds: Bounds) -> Estimate:
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(f"{shown(values)} is no value with two ends")
    for value in values:
        if value is not None and (type(value) not in (int, float) or not is_legal(value, bounds)):
            raise ValueError(f"{shown(value)} is no metric between {bounds[0]:g} and {bounds[1]:g}")
    return Estimate(*values)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{shown(value)} is no count")
    return value
