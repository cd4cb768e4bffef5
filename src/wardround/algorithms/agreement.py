"""Move a weight as far as the sites agree which way it should go: AND-mask and FedGMA, from sums alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from wardround.algorithms.base import Algorithm, LocalResult, LocalWork, ServerStep
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.personal import personal
from wardround.algorithms.training import Training
from wardround.checker import Work
from wardround.core.context import RoundContext
from wardround.core.update import VOTES, Tensors, in_group, of_group, without_votes
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task

_ROUNDING = 1e-6


@dataclass(frozen=True)
class _Agreement(ABC):
    """What both masks have in common.

    A site sends the sign of each number of its update beside it. The server needs the mean of the updates and the mean
    of the signs, never one site's: it works on masked and encrypted sums as it does in the clear. Signs weigh as much
    as their site does in the mean; ``[aggregator] weighting = "uniform"`` gives every site one vote, as in the papers.

    Attributes:
        threshold: share of agreement, ``|mean of signs|``, that lets a weight move freely, in (0, 1].
        personal: as in `FedAvg`.
    """

    threshold: float = 0.4
    personal: str = "nothing"

    def __post_init__(self) -> None:
        personal(self.personal)
        if not 0 < self.threshold <= 1:
            raise PlanError(f"algorithm threshold = {self.threshold} is outside (0, 1]")

    @property
    @abstractmethod
    def work(self) -> Work:
        """Updates, and votes that are counted beside them."""

    @abstractmethod
    def share(self, agreement: np.ndarray) -> np.ndarray:
        """Return by how much of the mean each weight moves, in [0, 1], given the agreement in [0, 1]."""

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Plain local training that also votes; the server step sees a masked mean."""
        return Algorithm(WithVotes(LocalSgd(training)), Agreed(server, self), personal(self.personal))


@dataclass(frozen=True)
class AndMask(_Agreement):
    """A weight moves only if enough of the sites agree on its direction (Parascandolo et al. 2021, arXiv:2009.00329).

    The paper masks gradients of one step; this masks the updates of one round, and does not scale up what is left.

    Attributes:
        threshold: share of agreement that lets a weight move, in (0, 1].
        personal: as in `FedAvg`.
    """

    @property
    def work(self) -> Work:
        """See `_Agreement`."""
        return Work("and_mask", votes=True)

    def share(self, agreement: np.ndarray) -> np.ndarray:
        """All or nothing."""
        return np.asarray(agreement >= self.threshold - _ROUNDING, np.float32)


@dataclass(frozen=True)
class FedGma(_Agreement):
    """A weight on which the sites disagree moves by the share of their agreement (Tenison et al. 2022, 2201.11986).

    Attributes:
        threshold: share of agreement from which on a weight moves by the whole mean, in (0, 1].
        personal: as in `FedAvg`.
    """

    @property
    def work(self) -> Work:
        """See `_Agreement`."""
        return Work("fedgma", votes=True)

    def share(self, agreement: np.ndarray) -> np.ndarray:
        """All from the threshold on, else the agreement itself."""
        return np.asarray(np.where(agreement >= self.threshold - _ROUNDING, 1.0, agreement), np.float32)


@dataclass(frozen=True)
class WithVotes:
    """The site's half: local work whose update carries its own signs.

    Attributes:
        inner: the work that makes the update.
    """

    inner: LocalWork

    def run(
        self,
        task: Task,
        network: nn.Module,
        images: LabelledImages,
        broadcast: Tensors,
        memory: Tensors,
        ctx: RoundContext,
    ) -> LocalResult:
        """Train, then vote; see `LocalWork.run`."""
        result = self.inner.run(task, network, images, broadcast, memory, ctx)
        votes = {name: np.sign(result.change[name]) for name in of_group(broadcast, VOTES)}
        return replace(result, change={**result.change, **in_group(votes, VOTES)})


@dataclass(frozen=True)
class Agreed:
    """The server's half, around any step: the mean is masked before the step sees it.

    Attributes:
        inner: the step that moves the weights.
        mask: how agreement becomes a share.
    """

    inner: ServerStep
    mask: _Agreement

    def start(self, weights: Tensors) -> Tensors:
        """Return the inner state: votes are of one round and leave nothing behind."""
        return self.inner.start(weights)

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Take the inner step on the masked mean; statistics (``stat/…``) are not masked."""
        votes = of_group(mean, VOTES)
        masked = {
            name: np.asarray(value * self.mask.share(np.abs(votes[name])), np.float32) if name in votes else value
            for name, value in without_votes(mean).items()
        }
        return self.inner.apply(state, masked, ctx)

    def broadcast(self, state: Tensors) -> Tensors:
        """Return what the inner step broadcasts, and a zero for each vote that is asked for."""
        inner = dict(self.inner.broadcast(state))
        asked = {name: np.zeros_like(value) for name, value in inner.items() if name.startswith("net/")}
        return inner | in_group(asked, VOTES)

    def model(self, state: Tensors) -> Tensors:
        """Return what the inner step offers."""
        return self.inner.model(state)
