"""What a site answers to ``evaluate``: image by image where that may leave it, and in numbers elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from wardround.core.codec import Message
from wardround.data.images import LabelledImages
from wardround.metrics.measures import Outcome
from wardround.rounds.drift import drifts_by_origin, to_tensors
from wardround.rounds.pictures import pictures_of
from wardround.rounds.plan import Plan
from wardround.tasks import Task
from wardround.tasks.features import features_seen


@dataclass(frozen=True)
class Examination:
    """One part of a site's images under the network that is to be looked at.

    Attributes:
        plan: says what may leave the site.
        task: what was learned.
        images: of the part.
        is_test: whether the part is the test part.
    """

    plan: Plan
    task: Task
    images: LabelledImages
    is_test: bool

    def answer(self, network: nn.Module) -> Message:
        """Return the reply; `Reader` reads it."""
        shares = self.plan.evaluation.shares_predictions(self.images.public)
        with features_seen(network, shares and self.is_test) as features:
            outcome = self.task.evaluate(network, self.images)
        return self._in_full(network, outcome, features) if shares else self._in_numbers(outcome)

    def _in_full(self, network: nn.Module, outcome: Outcome, features: list[np.ndarray]) -> Message:
        origins, origin = np.unique(self.images.origins, return_inverse=True)
        tensors = {
            **self.task.measures.columns(outcome),
            "groups": np.unique(outcome.groups, return_inverse=True)[1].astype(np.int64),
            "origins": origin.astype(np.int64),
        }
        if self.is_test:
            tensors |= pictures_of(self.task, network, self.images, outcome)
            tensors |= to_tensors(drifts_by_origin(self.images, features))
        return Message({"origins": origins.tolist()}, tensors)

    def _in_numbers(self, outcome: Outcome) -> Message:
        replicates = self.plan.evaluation.bootstrap if self.is_test else 0
        seed = self.plan.data.split_seed  # as where predictions are shared: methods are compared on the same draws
        measures = self.task.measures
        description = measures.describe(outcome, replicates, seed, self.plan.evaluation.min_positives)
        fields = {
            "metrics": {key: [value.value, value.low, value.high] for key, value in description.metrics.items()},
            "auc_classes": list(description.auc_classes),
            "num_examples": description.num_examples,
            "num_groups": description.num_groups,
        }
        return Message(fields, measures.totals(outcome))
