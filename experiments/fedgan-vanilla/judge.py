"""A judge of synthetic images: a small CNN that learned the classes from real training images, and its features.

Distances on its features are in units of their own: they compare with each other, and are no FID.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from wardround.core.context import derive_seed
from wardround.data.images import LabelledImages
from wardround.metrics.synthesis import frechet_distance, kernel_distance, overlap
from wardround.rounds.plan import Plan
from wardround.study.build import joined, sites_of
from wardround.study.folder import RunFolder
from wardround.study.predict import loaded, loaded_generator
from wardround.study.run import train
from wardround.study.spec import load, parse, to_table
from wardround.tasks import Synthesis
from wardround.tasks.base import batches
from wardround.tasks.features import features_seen
from wardround.tasks.inputs import to_input

HERE = Path(__file__).parent
LEAST_OF_A_CLASS = 40


def plan_of(file: str, **changes: Mapping[str, Any] | Any) -> Plan:
    """Return a plan of this folder with some settings changed: key by key, or the whole table where it has a name."""
    table = to_table(load(HERE / file))
    for key, value in changes.items():
        partly = isinstance(value, Mapping) and key in table and "name" not in value
        table[key] = {**table[key], **value} if partly else value
    return parse(table)


@dataclass
class Judge:
    """Features and real images of one data set.

    Attributes:
        network: a trained classifier.
        real: part -> the real images of all sites.
    """

    network: nn.Module
    real: Mapping[str, LabelledImages]

    @classmethod
    def of(cls, file: str, out: Path, data: Path) -> Judge:
        """Train the judge of the plan in `file`, unless it is there, and load the images."""
        plan = plan_of(file)
        folder = RunFolder(train(plan, out / f"{plan.name}", data, resume=True, workers=0))
        held = list(sites_of(plan, data).values())
        parts = {part: joined([getattr(site, part) for site in held]) for part in ("train", "val", "test")}
        return cls(loaded(folder, plan, None)[1], parts)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Return what the judge's last layer is fed for uint8 ``(N, H, W, C)``, float32 ``(N, F)``."""
        with features_seen(self.network) as seen, torch.inference_mode():
            for rows in batches(len(pixels), 256):
                self.network(to_input(pixels[rows]))
        return np.concatenate(seen)

    @cached_property
    def known(self) -> dict[str, np.ndarray]:
        """Part -> features of its real images."""
        return {part: self.features(images.batch(slice(None))) for part, images in self.real.items()}

    def measured(self, task: Synthesis, network: nn.Module, part: str, seed: int = 0) -> dict[str, Any]:
        """Measure a generator against the real images of a part, with as many synthetic ones of the same classes."""
        labels = self.real[part].labels
        made = self.features(task.draw(network, labels, np.random.default_rng(derive_seed(seed, "judged"))))
        return compared(self.known[part], made, labels, self.real[part].classes)


def compared(real: np.ndarray, made: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return distances and overlap of two clouds, and for each class with enough images its distances."""
    shared = overlap(real, made)
    by_class = {}
    for place, name in enumerate(classes):
        mine = labels == place
        if mine.sum() >= LEAST_OF_A_CLASS:
            by_class[name] = {
                "frechet": frechet_distance(real[mine], made[mine]),
                "kernel": kernel_distance(real[mine], made[mine]),
            }
    return {
        "frechet": frechet_distance(real, made),
        "kernel": kernel_distance(real, made),
        "precision": shared.precision,
        "recall": shared.recall,
        "density": shared.density,
        "coverage": shared.coverage,
        "by_class": by_class,
    }


def generator_of(run: Path) -> tuple[Synthesis, nn.Module]:
    """Return the task and the trained networks of a run folder."""
    return loaded_generator(RunFolder(run))


def untrained(plan: Plan, judge: Judge) -> tuple[Synthesis, nn.Module]:
    """Return the task and the networks before the first round."""
    images = judge.real["train"]
    task = plan.learns.task(plan.model, images.shape[2], images.classes)
    if not isinstance(task, Synthesis):
        raise TypeError("the plan makes no images")
    return task, task.build(plan.seed)
