"""A representation that says little more of an image than its class: FedSR."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from wardround.algorithms.base import Algorithm, ServerStep
from wardround.algorithms.beside import Beside
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.training import Training
from wardround.checker import Work
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks import Task
from wardround.tasks.inputs import name_of_head

CENTRES = "centre/classes"
_PULL = 0.5


@dataclass(frozen=True)
class FedSr:
    """FedAvg on a noisy, short and class-wise representation (FedSR; Nguyen et al. 2022, NeurIPS 35).

    The features ``f(x)`` that reach the head are trained as ``z = f(x) + sigma e``, ``e`` standard normal; ``l2r``
    weighs ``|z|^2``, and ``cmi`` the distance of ``p(z|x)`` from one ``r(z|y)`` for each class, shared by all sites.
    The paper learns both variances; here they are one constant, so that the distance becomes ``|f(x) - centre of the
    class|^2 / (2 sigma^2)`` and the network is that of FedAvg, in training and afterwards. Centres move towards the
    mean features of their class as in Wen et al. 2016 (ECCV, eq. 4), and travel in the update as their own group.

    Attributes:
        l2r: weight of the squared length, >= 0.
        cmi: weight of the distance, >= 0.
        sigma: deviation of the noise, > 0; features behind ReLU and pooling are of the order of 0.3.
    """

    l2r: float = 0.01
    cmi: float = 0.001
    sigma: float = 0.1

    def __post_init__(self) -> None:
        for key in ("l2r", "cmi"):
            if not 0 <= getattr(self, key) < math.inf:
                raise PlanError(f"algorithm {key} = {getattr(self, key)} is negative or not finite")
        if not 0 < self.sigma < math.inf:
            raise PlanError(f"algorithm sigma = {self.sigma} is not a positive number")

    @property
    def work(self) -> Work:
        """Updates, with the centres in them."""
        return Work("fedsr")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Local training on the regularised loss; the server keeps the centres."""
        return Algorithm(LocalSgd(training, objective=Simple(self)), WithCentres(server))


@dataclass(frozen=True)
class Simple:
    """The objective; see `FedSr`.

    Attributes:
        spec: the weights.
    """

    spec: FedSr

    def begin(self, task: Task, network: nn.Module, images: LabelledImages, broadcast: Tensors) -> RunningSimple:
        """Find the head, and take the centres over.

        Raises:
            PlanError: the network's last linear layer is not its head.
        """
        head = network.get_submodule(name_of_head(network)) if name_of_head(network) else None
        if not isinstance(head, nn.Linear) or tuple(head.weight.shape) != broadcast[CENTRES].shape:
            raise PlanError("fedsr needs a network that ends in one linear layer: choose small_cnn or a resnet")
        return RunningSimple(self.spec, task, head, broadcast[CENTRES])


class RunningSimple:
    """`Simple` in one round."""

    def __init__(self, spec: FedSr, task: Task, head: nn.Linear, centres: np.ndarray) -> None:
        self._spec = spec
        self._task = task
        self._head = head
        self._before = centres
        self._centres = torch.from_numpy(np.array(centres)).to(head.weight.device)

    def loss(self, module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, progress: float) -> torch.Tensor:
        """Return the regularised loss, and move the centres of the classes in the batch."""
        with self._noise() as seen:
            loss = self._task.loss(module, inputs, labels)
        features, noisy = (each.float() for each in seen)
        apart = features - self._centres[labels]
        length, distance = noisy.square().sum(1).mean(), apart.square().sum(1).mean() / (2 * self._spec.sigma**2)
        self._move(apart.detach(), labels)
        return loss + self._spec.l2r * length + self._spec.cmi * distance

    @contextmanager
    def _noise(self) -> Iterator[list[torch.Tensor]]:
        """Add noise to what the head is fed; yields the features without and with it, once they are there."""
        seen: list[torch.Tensor] = []

        def add(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
            noisy = inputs[0] + self._spec.sigma * torch.randn_like(inputs[0])
            seen.extend((inputs[0], noisy))
            return noisy

        hook = self._head.register_forward_pre_hook(add)
        try:
            yield seen
        finally:
            hook.remove()

    def _move(self, apart: torch.Tensor, labels: torch.Tensor) -> None:
        sums = torch.zeros_like(self._centres).index_add_(0, labels, apart)
        counts = torch.bincount(labels, minlength=len(self._centres))[:, None]
        self._centres += _PULL * sums / (1 + counts)

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return how far the centres moved."""
        return {CENTRES: np.asarray(self._centres.cpu().numpy() - self._before)}, {}


@dataclass(frozen=True)
class WithCentres(Beside):
    """The centres of the classes move by their mean."""

    array = CENTRES

    def first(self, weights: Tensors) -> np.ndarray:
        """Return centres at zero: one for each row of the last matrix of weights.

        Raises:
            PlanError: there is no matrix among the weights.
        """
        matrices = [value for name, value in weights.items() if name.startswith("net/") and value.ndim == 2]
        if not matrices:
            raise PlanError("fedsr needs a network that ends in one linear layer: choose small_cnn or a resnet")
        return np.zeros_like(matrices[-1])
