"""Algorithms over a network that is cut: whose body is trained when, and what becomes of heads and tails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

import numpy as np

from wardround.algorithms.base import Algorithm, BodyWork, Order, ServerStep
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.personal import everything, personal
from wardround.algorithms.server import ServerSgd
from wardround.algorithms.training import Training
from wardround.checker import Work
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import PlanError

ADAM_EPSILON = 1e-8
MOST_CORRECTED = 0.99


@dataclass(frozen=True)
class SplitLearning:
    """Split learning, site after site (Gupta and Raskar 2018, arXiv:1810.06060), with a U-shaped cut.

    One head, one body, one tail: each site goes on from the head and the tail that the last one left. They travel by
    the coordinator, which reads them. Sites take turns in an order that is drawn anew each round.
    """

    @property
    def work(self) -> Work:
        """Each site's weights are the next one's start, so they cannot be summed unread."""
        return Work("split_learning", splits=True, relays=True)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """One body, in turn; nothing is averaged."""
        return Algorithm(LocalSgd(training), server, body=BodyWork(training, ServerSgd(), Order.IN_TURN), relayed=True)


@dataclass(frozen=True)
class _Averaging:
    """Heads and tails are averaged; subclasses say whose body is trained when."""

    personal: str = "nothing"

    name: ClassVar[str]
    order: ClassVar[Order]
    copies: ClassVar[bool] = False

    def __post_init__(self) -> None:
        personal(self.personal)

    @property
    def work(self) -> Work:
        """Heads and tails are updates."""
        return Work(self.name, splits=True)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Plain local training around a body elsewhere."""
        body = BodyWork(training, server if self.copies else ServerSgd(), self.order, self.copies)
        return Algorithm(LocalSgd(training), server, personal(self.personal), body=body)


@dataclass(frozen=True)
class SplitFedV1(_Averaging):
    """A body for each site, averaged as heads and tails are (SFLV1; Thapa et al. 2022, arXiv:2004.12088).

    It computes what FedAvg computes, bit for bit in float32 where the network draws no random numbers.

    Attributes:
        personal: what of head and tail stays at the sites: ``nothing`` or ``norms``.
    """

    name: ClassVar[str] = "splitfed_v1"
    order: ClassVar[Order] = Order.TOGETHER
    copies: ClassVar[bool] = True


@dataclass(frozen=True)
class SplitFedV2(_Averaging):
    """One body for all, trained with one site after the other (SFLV2; Thapa et al. 2022, arXiv:2004.12088).

    Sites take turns in an order that is drawn anew each round.

    Attributes:
        personal: as in `SplitFedV1`.
    """

    name: ClassVar[str] = "splitfed_v2"
    order: ClassVar[Order] = Order.IN_TURN


@dataclass(frozen=True)
class SplitFedV3:
    """A body for each site, averaged; heads and tails stay at their site (Gawali et al. 2021, arXiv:2012.12591)."""

    @property
    def work(self) -> Work:
        """No weight leaves a site; activations do."""
        return Work("splitfed_v3", splits=True, updates=False)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Copies of the body; head and tail are personal."""
        body = BodyWork(training, server, Order.TOGETHER, copies=True)
        return Algorithm(LocalSgd(training), server, everything, body=body)


@dataclass(frozen=True)
class Interleaved(_Averaging):
    """One body that takes a step for a batch of one site, then for a batch of another; heads and tails are averaged.

    The body so sees the sites' images mixed, as central training does. Alternating batches is from split learning
    ("alternate mini-batch training", Gawali et al. 2021, arXiv:2012.12591), where head and tail alternate, too; here
    they are averaged, so that they can be summed unread. A site with more batches has its turns spread over the round.

    Attributes:
        personal: as in `SplitFedV1`.
    """

    name: ClassVar[str] = "interleaved"
    order: ClassVar[Order] = Order.INTERLEAVED


class Form(Enum):
    """Which parts the weight correction of DC-SFL reaches."""

    RELEASED = "released"
    INTENDED = "intended"


@dataclass(frozen=True)
class DcSfl:
    """SplitFed V1 with dynamic weight correction (Yang et al. 2023, IEEE JBHI 27(12):5946-5957).

    Attributes:
        form: ``released`` is what the authors' code does: head and tail are compared with their own fresh copies, so
            that only the body is corrected. ``intended`` corrects head, body and tail against the round before, as the
            paper says; at the sites, where the coordinator may not see the sum.
        mu: weight of the drift in the correction's loss; theirs is 1e-4.
        learning_rate: of the correction's one step of Adam; theirs is 1e-4.
    """

    form: str = "intended"
    mu: float = 1e-4
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        if self.form not in [form.value for form in Form]:
            raise PlanError(f'algorithm form = "{self.form}" is unknown: choose "released" or "intended"')
        if not (0 < self.mu < np.inf and 0 < self.learning_rate < np.inf):
            raise PlanError("algorithm dcsfl needs mu and learning_rate > 0: without a correction it is splitfed_v1")

    @property
    def work(self) -> Work:
        """Heads and tails are updates."""
        return Work("dcsfl", splits=True)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """SplitFed V1 around corrected server steps."""
        corrected = Corrected(server, self.mu, self.learning_rate)
        plain = SplitFedV1().compose(training, server)
        outer = corrected if Form(self.form) is Form.INTENDED else server
        body = BodyWork(training, corrected, Order.TOGETHER, copies=True)
        return replace(plain, server=outer, body=body)


@dataclass(frozen=True)
class Corrected:
    """Wraps a server step: weights are drawn back towards those of the round before (DWCS of Yang et al. 2023).

    The correction ``w~`` is one first step of Adam down ``mu/2 |w~ - w_before|^2`` from the new weights ``w``; the
    result is ``(1 - a) w + a w~`` with ``a = min(1 - 1/t, 0.99)`` in round ``t``, so nothing happens in rounds 0 and 1.
    It moves no weight by more than the learning rate.

    Attributes:
        inner: the step that is corrected.
        mu: weight of the drift.
        learning_rate: of Adam's step.
    """

    inner: ServerStep
    mu: float
    learning_rate: float

    def start(self, weights: Tensors) -> Tensors:
        """Return the inner state."""
        return self.inner.start(weights)

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Take the inner step, then correct the trainable weights."""
        after = dict(self.inner.apply(state, mean, ctx))
        if ctx.round == 0:
            return after
        share = min(1 - 1 / ctx.round, MOST_CORRECTED)
        for name in (name for name in after if name.startswith("net/")):
            gradient = self.mu * (after[name].astype(np.float64) - state[name])
            step = self.learning_rate * gradient / (np.abs(gradient) + ADAM_EPSILON)
            after[name] = np.asarray(after[name] - share * step, np.float32)
        return after

    def broadcast(self, state: Tensors) -> Tensors:
        """Return what the inner step broadcasts."""
        return self.inner.broadcast(state)

    def model(self, state: Tensors) -> Tensors:
        """Return what the inner step offers."""
        return self.inner.model(state)
