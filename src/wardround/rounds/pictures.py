"""Some test images with what the network said of them, from sites whose images are published anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from wardround.core.update import Tensors, in_group, of_group
from wardround.data.images import LabelledImages
from wardround.metrics.measures import Outcome
from wardround.tasks import Task

GROUP = "picture"
ROWS = "rows"
EACH = 3
"""Of each site: the image with the worst score, the middle one and the best."""
MOST_PX = 1024


def pictures_of(task: Task, network: nn.Module, images: LabelledImages, outcome: Outcome) -> dict[str, np.ndarray]:
    """Return what a site adds to its answer; nothing where the images are not published, or the task has no pictures.

    Args:
        task: what is learned.
        network: in evaluation mode.
        images: of the site under test.
        outcome: of all of them.
    """
    if not images.public or not task.shows or not len(images):
        return {}
    score = next(iter(task.measures.columns(outcome).values()))
    rows = np.concatenate(
        [_chosen(score, np.flatnonzero(images.origins == name)) for name in np.unique(images.origins)]
    )
    return in_group({**task.pictures(network, images.take(rows)), ROWS: rows}, GROUP)


def _chosen(score: np.ndarray, mine: np.ndarray) -> np.ndarray:
    ordered = mine[np.argsort(score[mine], kind="stable")]
    return np.unique(ordered[np.linspace(0, len(ordered) - 1, EACH).round().astype(np.int64)])


def read_pictures(task: Task, tensors: Tensors, origins: np.ndarray) -> dict[str, np.ndarray]:
    """Return the pictures of a site's answer, and under ``rows`` which images they are of; empty if there are none.

    Args:
        task: what is learned.
        tensors: of the answer; nothing in them is trusted.
        origins: int64 ``(N,)``, the place that each image of the answer is of.

    Raises:
        KeyError: a picture is missing.
        ValueError: they are no such pictures.
    """
    found = of_group(tensors, GROUP)
    if not found:
        return {}
    rows = found[ROWS]
    if rows.dtype != np.int64 or rows.ndim != 1 or not np.isin(rows, np.arange(len(origins))).all():
        raise ValueError("its pictures are of images that it does not have")
    if np.unique(rows).size != rows.size or np.bincount(origins[rows], minlength=1).max() > EACH:
        raise ValueError(f"it sends more than {EACH} pictures of one site")
    for name in task.shows:
        picture = found[name]
        if picture.dtype != np.uint8 or picture.ndim != 4 or picture.shape[3] not in (1, 3):
            raise ValueError(f"its pictures called {name} are {picture.dtype} {picture.shape}")
        if len(picture) != len(rows) or not all(1 <= edge <= MOST_PX for edge in picture.shape[1:3]):
            raise ValueError(f"its pictures called {name} are too large, or not as many as they should be")
    if len({found[name].shape[:3] for name in task.shows}) != 1:
        raise ValueError("its pictures of one image are of several sizes")
    return {ROWS: rows, **{name: found[name] for name in task.shows}}


def by_place(tests: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the pictures of several sites' tests, each name after the place of the site among them: ``0/image``."""
    shown = {str(place): test.pictures for place, test in enumerate(tests.values())}
    return {f"{place}/{name}": value for place, pictures in shown.items() for name, value in pictures.items()}
