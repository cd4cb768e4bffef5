"""The floor beside a classifier: what a linear model gets from the mean colour of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wardround.data.floor import mean_colour
from wardround.metrics.clinical import Predictions
from wardround.metrics.intervals import describe
from wardround.rounds.plan import Plan
from wardround.study.build import joined, sites_of


def colour_floor(plan: Plan, data_root: Path | None) -> dict[str, Any]:
    """Fit a logistic regression on the pooled training images' mean colour and test it like the network.

    Returns:
        ``{"what", "auc", "low", "high"}``, the form that ``summary.json`` and the report use.
    """
    from sklearn.linear_model import LogisticRegression

    sites = list(sites_of(plan, data_root).values())
    train, test = joined([site.train for site in sites]), joined([site.test for site in sites])
    model = LogisticRegression(C=1e3, max_iter=2000).fit(mean_colour(train), train.labels)
    probabilities = np.zeros((len(test), len(test.classes)))
    probabilities[:, model.classes_] = model.predict_proba(mean_colour(test))
    groups = np.char.add(np.char.add(test.origins.astype(str), "/"), test.groups.astype(str))
    predictions = Predictions(probabilities, test.labels, groups, test.classes, test.malignant)
    auc = describe(predictions, plan.evaluation.bootstrap, plan.data.split_seed, plan.evaluation.min_positives).metrics[
        "auc"
    ]
    return {"what": "linear model on mean colour", "auc": auc.value, "low": auc.low, "high": auc.high}
