"""Networks trained privately from random weights, compared within training and validation: ``search_scratch.csv``.

    WARDROUND_DATA=folder python experiments/ham10000-private/search_scratch.py

The folds are those of ``search.py``; the test part is left out before they are dealt. A setting is trained without
the first fold, and predicts it. As there, the rounds are written down in a few lines, with the plan's own clipped sums:
real noise, no masks. One seed, none of the seven. Rows that the table has are not trained again.
"""

from __future__ import annotations

import csv
import math
import os
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import HERE
from search import LARGE, dealt_folds
from torch import nn

from wardround.algorithms.augment import AUGMENTATIONS
from wardround.algorithms.unit_gradients import UnitGradients
from wardround.data.images import LabelledImages
from wardround.metrics.clinical import Predictions, macro_auc
from wardround.metrics.intervals import site_mean_auc
from wardround.privacy import Gaussian
from wardround.privacy.calibration import calibrated_for
from wardround.rounds.guarantee import MOST_LENGTH
from wardround.rounds.plan import Plan
from wardround.study.build import joined, sites_of
from wardround.study.spec import load
from wardround.tasks.classification import Classification
from wardround.tasks.models import ModelSpec, MomentsCnn, SmallCnn

TABLE = HERE / "search_scratch.csv"
DELTA, MOMENTUM, AVERAGE_DECAY = 1e-5, 0.9, 0.95
SEED, FOLD = 0, 0
FROZEN = 1e6
"""An inertia with which no filter turns: what the head alone reaches on random filters."""


@dataclass(frozen=True)
class Setting:
    """What is tried; a site's sum is as long as `site_length` units at most."""

    model: ModelSpec
    rounds: int = 80
    learning_rate: float = 10.0
    clip: float = 0.5
    sampling_rate: float = 1.0
    views: int = 1
    augment: str = "none"
    epsilon: float = 1.2
    site_length: float = MOST_LENGTH


NEW = MomentsCnn()
SMALL = SmallCnn(8, 0.0)
UNBOUNDED = {"site_length": math.inf}
SETTINGS = (
    Setting(NEW, **UNBOUNDED),
    Setting(replace(NEW, inertia=30.0), **UNBOUNDED),
    Setting(replace(NEW, inertia=FROZEN), **UNBOUNDED),
    Setting(replace(NEW, widths=(16, 16)), **UNBOUNDED),
    Setting(replace(NEW, widths=(8, 8, 8)), **UNBOUNDED),
    Setting(replace(NEW, scale=8.0), **UNBOUNDED),
    Setting(NEW, learning_rate=20.0, **UNBOUNDED),
    Setting(SMALL, learning_rate=3.0, **UNBOUNDED),
    Setting(SMALL, learning_rate=10.0, **UNBOUNDED),
    Setting(NEW),
    Setting(replace(NEW, inertia=5.0)),
    Setting(NEW, epsilon=0.0),
)


@dataclass(frozen=True)
class Fitted:
    """What training without a fold gave.

    Attributes:
        probabilities: of the fold's images.
        signal: norm of the clipped sum over that of its noise, mean over the last quarter of the rounds.
        clipped: mean norm of the sum per image, as a share of the bound, over the same rounds.
    """

    probabilities: np.ndarray
    signal: float
    clipped: float


def fitted(setting: Setting, task: Classification, kept: LabelledImages, held: LabelledImages, seed: int) -> Fitted:
    """Train on `kept`, predict `held` with the averaged weights."""
    multiplier = 0.0
    if setting.epsilon:
        multiplier = calibrated_for(setting.epsilon, DELTA, Gaussian(1.0, setting.sampling_rate), setting.rounds)
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = task.build(seed).train()
    gradients = UnitGradients(task, setting.clip, AUGMENTATIONS[setting.augment], setting.views)
    weights = dict(network.named_parameters())
    velocity = {name: torch.zeros_like(value) for name, value in weights.items()}
    average = {name: value.detach().clone() for name, value in weights.items()}
    lengths, signals = [], []
    for step in range(setting.rounds):
        rows = np.flatnonzero(generator.random(len(kept)) < setting.sampling_rate)
        total = summed(setting, gradients, network, kept.take(rows))
        length, noise_length = float(torch.cat([v.flatten() for v in total.values()]).norm()), 0.0
        decay = min(AVERAGE_DECAY, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in weights.items():
                noise = setting.clip * multiplier * torch.from_numpy(generator.standard_normal(value.shape))
                noise_length += float(noise.square().sum())
                mean = ((total[name] + noise) / (setting.sampling_rate * len(kept))).float()
                velocity[name] = MOMENTUM * velocity[name] + mean
                value.sub_(setting.learning_rate * velocity[name])
                average[name] = decay * average[name] + (1 - decay) * value
        lengths.append(length / max(1, len(rows)) / setting.clip)
        signals.append(length / noise_length**0.5 if multiplier else float("inf"))
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(average[name])
    last = setting.rounds // 4
    found = task.predict(network, held).probabilities
    return Fitted(found, float(np.mean(signals[-last:])), float(np.mean(lengths[-last:])))


def summed(
    setting: Setting, gradients: UnitGradients, network: nn.Module, images: LabelledImages
) -> dict[str, torch.Tensor]:
    """Return the sum over sites of their clipped sums, each cut to the longest that the plan lets it be."""
    total = {name: torch.zeros(value.shape, dtype=torch.float64) for name, value in network.named_parameters()}
    for site in np.unique(images.origins):
        own = images.take(np.flatnonzero(images.origins == site))
        found, _ = gradients.clipped_sum(network, own, np.arange(len(own)))
        length = float(torch.cat([value.flatten() for value in found.values()]).norm())
        cut = min(1.0, setting.site_length * setting.clip / max(length, 1e-30))
        total = {name: value + cut * found[name] for name, value in total.items()}
    return total


def compared(setting: Setting, images: LabelledImages, dealt: np.ndarray) -> dict[str, Any]:
    """Return a row of the table: AUCs over the fold that is predicted."""
    began = time.process_time()
    task = Classification(setting.model, images.shape[2], images.classes, images.malignant)
    held = images.take(np.flatnonzero(dealt == FOLD))
    fit = fitted(setting, task, images.take(np.flatnonzero(dealt != FOLD)), held, SEED)
    each = Predictions(fit.probabilities, held.labels, held.groups, held.classes, held.malignant)
    ones = np.ones(len(each))
    network = task.build(0)
    return {
        **described(setting),
        "weights": str(sum(value.numel() for value in network.parameters())),
        "pooled_auc": f"{float(macro_auc(each, ones)):.4f}",
        "site_mean_auc": f"{float(site_mean_auc(held.origins, LARGE)(each, ones)):.4f}",
        "signal_to_noise": f"{fit.signal:.2f}",
        "clipped_mean": f"{fit.clipped:.3f}",
        "cpu_s": f"{time.process_time() - began:.0f}",
    }


def described(setting: Setting) -> dict[str, str]:
    """Return the columns that say what was tried."""
    return {column.name: str(getattr(setting, column.name)) for column in fields(setting)}


def images_of(plan: Plan) -> LabelledImages:
    """Return the training and validation images of all sites."""
    sites = sites_of(plan, Path(os.environ["WARDROUND_DATA"]))
    return joined([part for site in sites.values() for part in (site.train, site.val)])


def main() -> None:
    """Compare the settings that the table lacks, and add them to it, one by one."""
    torch.set_num_threads(1)
    images = images_of(load(HERE / "scratch.toml"))
    dealt = dealt_folds(images)
    rows = list(csv.DictReader(TABLE.open())) if TABLE.exists() else []
    for setting in SETTINGS:
        known = described(setting).items()
        if any(known <= row.items() for row in rows):
            continue
        rows.append(compared(setting, images, dealt))
        print(*rows[-1].values(), flush=True)
        with TABLE.open("w", newline="") as table:
            writer = csv.DictWriter(table, list(rows[-1]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
