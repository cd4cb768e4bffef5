"""The network of a process, lent to one site at a time."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from wardround.algorithms import Algorithm
from wardround.algorithms.parts import freeze, frozen_weights, own_weights
from wardround.core.update import Tensors, all_finite
from wardround.errors import RunError, WireError
from wardround.rounds.split.guard import guard_of
from wardround.rounds.split.rules import SplitRules
from wardround.tasks import Task
from wardround.tasks.classification import by_slot, load_weights, weights_of
from wardround.tasks.models.cut import cut
from wardround.tasks.models.halves import BodyLink, OuterNetwork
from wardround.tasks.start import start_from


class Workbench:
    """One network per process, lent to one site at a time: a thousand sites need the memory of one.

    Where the network is cut, it is head and tail alone, and each site has a workbench of its own: several are in the
    middle of a round at once.

    Attributes:
        task: what is learned.
        initial: the weights before round 0, the same everywhere.
        frozen: names of the weights that are not trained and do not travel.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        parts: str = "all",
        start: Tensors = MappingProxyType({}),
        split: SplitRules | None = None,
    ) -> None:
        """Make the network.

        Args:
            task: what is learned.
            seed: of the weights.
            parts: what is trained; see `Training`.
            start: weights that the user supplied; see `Start`.
            split: where the network is cut.
        """
        torch.set_num_threads(1)  # the number of threads changes the order of sums, hence the last bit
        self.task = task
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = task.build(seed).to(device)
        start_from(self._network, start)
        self._outer: OuterNetwork | None = None
        if split is not None:
            self._network = self._outer = OuterNetwork(cut(self._network, split.depth), task.channels, guard_of(split))
        self.frozen = frozen_weights(self._network, parts)
        freeze(self._network, self.frozen)
        self._fresh = {name: value.clone() for name, value in self._network.state_dict().items()}
        self.initial: Tensors = weights_of(self._network)

    def lend(self, *layers: Tensors) -> nn.Module:
        """Return the network with its initial weights, overwritten by `layers` in order."""
        self._network.load_state_dict(self._fresh)
        for weights in layers:
            load_weights(self._network, weights)
        return self._network

    @property
    def outer(self) -> OuterNetwork:
        """Head and tail, where the network is cut.

        Raises:
            RunError: it is not.
        """
        if self._outer is None:
            raise RunError("this plan cuts no network")
        return self._outer

    def body_in(self, tensors: Tensors) -> dict[str, np.ndarray]:
        """Return the trained body that a body host sent, for the model file; nothing where the network is not cut.

        Raises:
            WireError: it is not the body of this network.
        """
        shapes = self._outer.body_shapes if self._outer is not None else {}
        found = {name: value.shape for name, value in by_slot(tensors).items()}
        if found != shapes or not all_finite(tensors.values()):
            raise WireError("the trained body that was sent is not the body of this plan's network")
        return dict(tensors)

    def connect(self, link: BodyLink) -> None:
        """Let head and tail reach the body by `link`."""
        self.outer.link = link

    def own(self, algorithm: Algorithm) -> frozenset[str]:
        """Return the names of the weights that each site trains and keeps for itself."""
        return own_weights(self._network, algorithm.personal, self.frozen)

    def shared(self, algorithm: Algorithm) -> dict[str, np.ndarray]:
        """Return the weights that travel, as they are before round 0."""
        withheld = self.own(algorithm) | self.frozen
        return {name: value for name, value in self.initial.items() if name not in withheld}
