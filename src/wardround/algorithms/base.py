"""What an algorithm is made of: work at a site, a step at the server, and what stays personal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import nn

from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.privacy import Event
from wardround.tasks.classification import Classification

Personal = Callable[[nn.Module], frozenset[str]]
"""Names (``net/…``, ``stat/…``) of a network's weights that never leave a site."""


@dataclass(frozen=True)
class LocalResult:
    """What local work brings back.

    Attributes:
        change: difference to the weights it began with, and to any other broadcast group.
        memory: what the site keeps for its next round (control variates, optimiser state).
        loss: mean training loss over the steps.
        num_steps: optimiser steps taken.
        events: noise that the training added, one event for each.
        used: int64, places of the images that were trained on; ``None`` says all.
    """

    change: Tensors
    memory: dict[str, np.ndarray]
    loss: float
    num_steps: int
    events: tuple[Event, ...] = ()
    used: np.ndarray | None = None


class LocalWork(Protocol):
    """Trains at one site in one round."""

    def run(
        self,
        task: Classification,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train `network`, which holds the site's starting weights, on `images`.

        Args:
            task: what is learned.
            network: trained in place; the caller reads the site's own weights off it.
            images: the site's training images.
            broadcast: all that the coordinator sent, also groups that are not weights.
            memory: what this site's last accepted round kept; empty the first time.
            ctx: the round, as this site sees it.
        """
        ...


class ServerStep(Protocol):
    """Turns a mean update into new weights. State goes in and comes out; nothing is kept inside."""

    def start(self, weights: Tensors) -> Tensors:
        """Return the state before round 0, given the initial shared weights."""
        ...

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Return the state after a round whose mean update is `mean`."""
        ...

    def broadcast(self, state: Tensors) -> Tensors:
        """Return what the sites are sent."""
        ...

    def model(self, state: Tensors) -> Tensors:
        """Return the shared weights to evaluate and to save."""
        ...


@dataclass(frozen=True)
class Algorithm:
    """A composition; nothing here is subclassed.

    Attributes:
        local: the work at a site.
        server: the step at the server.
        personal: which weights stay at their site.
        pooled: train as one site that holds all images (the central yardstick).
        own_model: group of a site's memory that holds a whole model of its own, with which it is evaluated; empty
            where there is none.
    """

    local: LocalWork
    server: ServerStep
    personal: Personal = field(default=lambda _: frozenset())
    pooled: bool = False
    own_model: str = ""
