"""Settings of the private plan, compared by cross-validation within training and validation parts: ``search.csv``.

    WARDROUND_DATA=folder python experiments/ham10000-private/search.py

The validation part has a thousand images, in which the rarest classes show ten times: too few to choose by. So its
lesions and those of the training part are dealt to five folds; each is predicted by a model of the other four. The test
part is left out before that. For speed the plan's rounds are written down here in a few lines: clipped sum at each
site, noise on the sum, momentum, averaged weights. Real noise, no masks. Eight seeds, none of the seven.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rows import HERE

from wardround.data.images import LabelledImages
from wardround.metrics.clinical import Predictions, macro_auc
from wardround.metrics.intervals import site_mean_auc
from wardround.rounds.plan import Plan
from wardround.study.build import joined, sites_of
from wardround.study.spec import load
from wardround.tasks.inputs import trained_part

LARGE = ("rosendahl", "vidir_modern", "vidir_molemax")
FOLDS = 5
SEEDS = tuple(range(8))
COLUMNS = ("rounds", "learning_rate", "clip", "scale", "epsilon", "pooled_auc", "pooled_sd", "site_mean_auc")


@dataclass(frozen=True)
class Setting:
    """What is tried."""

    rounds: int
    learning_rate: float
    clip: float
    scale: float = 1.0
    noisy: bool = True

    def plan(self) -> Plan:
        """Return the private plan with this setting."""
        plan = load(HERE / "private.toml")
        training = replace(plan.training, learning_rate=self.learning_rate)
        stages = (replace(plan.pipeline.stages[0], norm=256 * self.clip), *plan.pipeline.stages[1:])
        return replace(
            plan,
            rounds=self.rounds,
            training=training,
            algorithm=replace(plan.algorithm, clip=self.clip),
            pipeline=replace(plan.pipeline, stages=stages),
        )


SETTINGS = (
    Setting(40, 20.0, 1.0),
    Setting(80, 20.0, 0.5),
    Setting(80, 10.0, 0.5),
    Setting(80, 20.0, 0.25),
    Setting(120, 10.0, 0.5),
    Setting(160, 5.0, 0.5),
    Setting(80, 2.5, 1.0, scale=2.0),
    Setting(160, 1.25, 1.0, scale=2.0),
    Setting(80, 10.0, 0.5, noisy=False),
    Setting(160, 1.25, 1.0, scale=2.0, noisy=False),
)


def fitted(setting: Setting, features: torch.Tensor, images: LabelledImages, seed: int) -> torch.Tensor:
    """Return the averaged weights ``(F + 1, classes)`` after the plan's rounds, the bias last."""
    plan = setting.plan()
    if plan.guarantee is None:
        raise ValueError("private.toml claims nothing")
    noise = setting.clip * plan.guarantee.multiplier * setting.noisy
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    labels = torch.nn.functional.one_hot(torch.from_numpy(images.labels), len(images.classes)).float()
    at_site = [torch.from_numpy(images.origins == site) for site in np.unique(images.origins)]
    weights = torch.zeros(inputs.shape[1], labels.shape[1])
    velocity, average = torch.zeros_like(weights), torch.zeros_like(weights)
    for step in range(setting.rounds):
        residuals = (inputs @ weights).softmax(1) - labels
        norms = residuals.norm(dim=1) * inputs.norm(dim=1)
        residuals *= (setting.clip / norms).clamp_max(1)[:, None]
        sums = [inputs[rows].T @ residuals[rows] for rows in at_site]
        total = sum(each * min(1.0, 256 * setting.clip / float(each.norm())) for each in sums)
        total = total + noise * torch.randn(weights.shape, generator=generator)
        velocity = plan.server.momentum * velocity + total / len(images)
        weights = weights - setting.learning_rate * velocity
        decay = min(plan.average_decay, (step + 1) / (step + 10))
        average = decay * average + (1 - decay) * weights
    return average


def dealt_folds(images: LabelledImages) -> np.ndarray:
    """Return the fold of each image, int64 ``(N,)``; all images of a lesion are in one."""
    lesions = np.unique(images.groups, return_inverse=True)[1]
    return np.random.default_rng(5).integers(0, FOLDS, lesions.max() + 1)[lesions]


def compared(setting: Setting, features: torch.Tensor, images: LabelledImages) -> tuple[float, float, float]:
    """Return pooled AUC of out-of-fold predictions, mean and deviation over the seeds, and mean site-mean AUC."""
    dealt = dealt_folds(images)
    found = []
    for seed in SEEDS:
        probabilities = np.zeros((len(images), len(images.classes)), np.float32)
        for fold in range(FOLDS):
            held, kept = dealt == fold, dealt != fold
            weights = fitted(setting, features[kept], images.take(kept), seed * 10 + fold)
            probabilities[held] = (features[held] @ weights[:-1] + weights[-1]).softmax(1).numpy()
        each = Predictions(probabilities, images.labels, images.groups, images.classes, images.malignant)
        ones = np.ones(len(each))
        found.append((float(macro_auc(each, ones)), float(site_mean_auc(images.origins, LARGE)(each, ones))))
    pooled, site_mean = np.transpose(found)
    return float(pooled.mean()), float(pooled.std(ddof=1)), float(site_mean.mean())


def main() -> None:
    """Compare all settings and write the table."""
    torch.set_num_threads(1)
    plan = load(HERE / "private.toml")
    sites = sites_of(plan, Path(os.environ["WARDROUND_DATA"]))
    images = joined([part for site in sites.values() for part in (site.train, site.val)])
    network = plan.model.build(images.shape[2], len(images.classes))
    features = trained_part(network).inputs(images, np.arange(len(images)))
    rows = []
    for setting in SETTINGS:
        figures = (f"{value:.4f}" for value in compared(setting, setting.scale * features, images))
        epsilon = "1.2" if setting.noisy else "inf"
        rows.append((setting.rounds, setting.learning_rate, setting.clip, setting.scale, epsilon, *figures))
        print(*rows[-1], flush=True)
    with (HERE / "search.csv").open("w", newline="") as table:
        csv.writer(table).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
