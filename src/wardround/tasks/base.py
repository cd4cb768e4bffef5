"""What a task is: it makes a network, turns images into targets and a loss, and a loss's network into outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import nn

from wardround.data.catalogue import Source
from wardround.data.images import LabelledImages
from wardround.data.prepare import Decoding
from wardround.data.sites import SiteData
from wardround.metrics.measures import Measures, Outcome
from wardround.tasks.models import ModelSpec

EVALUATION_BATCH = 256

Network = Callable[..., torch.Tensor]
"""What a loss calls: a network on a batch, or on what a batch was made into."""


class Task(Protocol):
    """What the sites of a run learn together, once the images are known."""

    @property
    def model(self) -> ModelSpec:
        """Spec of the network."""
        ...

    @property
    def channels(self) -> int:
        """Channels of an image: 1 (grey) or 3 (RGB)."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """What the network tells apart, in the order of its outputs; none where it does not."""
        ...

    @property
    def malignant(self) -> tuple[str, ...]:
        """Those of the classes that count as malignant; may be empty."""
        ...

    @property
    def measures(self) -> Measures:
        """What outcomes are worth, and what of them leaves a site."""
        ...

    @property
    def on_grid(self) -> bool:
        """Whether a target lies on the grid of its image, so that it is flipped and turned with it."""
        ...

    @property
    def shows(self) -> tuple[str, ...]:
        """Names of the `pictures` of an image; none where a picture would say nothing."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """What a model file says of the task beside its weights."""
        ...

    def build(self, seed: int) -> nn.Module:
        """Return a freshly initialised network; the same weights for the same seed and build of torch."""
        ...

    def targets(self, images: LabelledImages, rows: np.ndarray) -> torch.Tensor:
        """Return what the network should say of these rows of `images`; the first dimension counts them."""
        ...

    def loss(self, network: Network, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar. It is a mean over images: no image counts in another's term.

        Raises:
            PlanError: the network does not answer as the task needs.
        """
        ...

    def answer(self, network: Network, inputs: torch.Tensor) -> np.ndarray:
        """Return what a network says of a batch of inputs, as a person would use it."""
        ...

    def evaluate(self, network: nn.Module, images: LabelledImages) -> Outcome:
        """Return what the network says of `images`, as far as metrics need it; the network in evaluation mode."""
        ...

    def pictures(self, network: nn.Module, images: LabelledImages) -> dict[str, np.ndarray]:
        """Return `shows` -> uint8 ``(N, H, W, C)``: images and what was said of them, for people to look at."""
        ...

    def counts(self, images: LabelledImages) -> np.ndarray:
        """Return int64 ``(len(classes),)``: how many images show each class."""
        ...


class TaskSpec(Protocol):
    """A choice a plan makes in ``[task]``."""

    name: ClassVar[str]
    """As a plan has it."""
    answers: ClassVar[str]
    """Of what the network gives an answer: ``image``, each ``pixel``, or a ``sample``; see `ModelSpec.answers`."""
    keeps_levels: ClassVar[bool]
    """Whether the grey levels themselves are learned, so that augmentation may not change them."""

    def load(self, source: Source, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the images of a source with all that the task needs beside them.

        Raises:
            DataError: the source does not have it, or its files cannot be used.
        """
        ...

    def completed(self, dealt: Mapping[str, SiteData], seed: int, whole: bool) -> dict[str, SiteData]:
        """Return the images of each site with what follows from where they were dealt to.

        Args:
            dealt: site -> its images, which share one block of pixels.
            seed: of the split.
            whole: whether these are all sites.

        Raises:
            PlanError: the task says nothing of a site, or something of one that is not there.
        """
        ...

    def names(self, images: LabelledImages) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the classes of the task on these images, and those of them that count as malignant."""
        ...

    def task(self, model: ModelSpec, channels: int, classes: tuple[str, ...], malignant: tuple[str, ...] = ()) -> Task:
        """Return the task on images of so many channels."""
        ...


def fresh(model: ModelSpec, seed: int, channels: int, outputs: int) -> nn.Module:
    """Return a network with the weights that a seed gives it, in the memory format that training uses."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = model.build(channels, outputs)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def batches(count: int, size: int) -> Iterator[np.ndarray]:
    """Yield ``0 … count-1`` in order, in arrays of at most `size`."""
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
