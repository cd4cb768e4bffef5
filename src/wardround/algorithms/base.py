"""What an algorithm is made of: work at a site, a step at the server, and what stays personal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from torch import nn

from wardround.algorithms.personal import Personal, nothing
from wardround.algorithms.training import Training
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.privacy import Event
from wardround.tasks import Task


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
        last_loss: loss of the last step; ``None`` where it is not told.
    """

    change: Tensors
    memory: dict[str, np.ndarray]
    loss: float
    num_steps: int
    events: tuple[Event, ...] = ()
    used: np.ndarray | None = None
    last_loss: float | None = None


class LocalWork(Protocol):
    """Trains at one site in one round."""

    def run(
        self,
        task: Task,
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


class Order(Enum):
    """When a body host serves which site."""

    TOGETHER = "all sites side by side, a batch of each at a time"
    IN_TURN = "one site after the other, each with all its batches"
    INTERLEAVED = "a batch of one site, then a batch of another"


@dataclass(frozen=True)
class BodyWork:
    """What a body host does, where the network is cut.

    Attributes:
        training: how the body is trained: as the sites train head and tail.
        server: the step from a round's change to new weights; plain where one body is trained, which has taken its own.
        order: when it serves which site.
        copies: whether each site has a body of its own in a round; else there is one for all.
    """

    training: Training
    server: ServerStep
    order: Order
    copies: bool = False


@dataclass(frozen=True)
class Algorithm:
    """A composition; nothing here is subclassed.

    Attributes:
        local: the work at a site.
        server: the step at the server.
        personal: which weights stay at their site.
        pooled: train as one site that holds all images (the central yardstick).
        body: what a body host does; ``None`` where the network is not cut.
        relayed: whether each site goes on from the weights that the last one left.
        own_model: group of a site's memory that holds a whole model of its own, with which it is evaluated; empty
            where there is none.
    """

    local: LocalWork
    server: ServerStep
    personal: Personal = nothing
    pooled: bool = False
    body: BodyWork | None = None
    relayed: bool = False
    own_model: str = ""
