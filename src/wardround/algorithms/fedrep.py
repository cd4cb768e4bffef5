"""A shared body under each site's own head, trained in turns: FedRep."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from wardround.algorithms.base import Algorithm, ServerStep
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.personal import head
from wardround.algorithms.training import Training
from wardround.checker import Work
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.tasks.inputs import name_of_head


@dataclass(frozen=True)
class FedRep:
    """A round first trains a site's own head on the shared body, then the body under that head (Collins et al. 2021).

    arXiv:2102.07078, algorithm 1; the head's steps are as many as the plan says, the rest of the round is the body's.
    The head stays at its site. A hospital that takes no part has no head but the one of the plan's seed, which nobody
    trained: for the next hospital choose another algorithm.

    Attributes:
        head_steps: first steps of each round, which train the head alone, >= 1.
    """

    head_steps: int = 5

    def __post_init__(self) -> None:
        if self.head_steps < 1:
            raise PlanError(f"algorithm head_steps = {self.head_steps} is below 1: give at least 1")

    @property
    def work(self) -> Work:
        """Updates of the body and nothing else."""
        return Work("fedrep")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Local training in turns; heads are personal.

        Raises:
            PlanError: no step is left for the body.
        """
        if training.steps and training.steps <= self.head_steps:
            raise PlanError(
                f"algorithm head_steps = {self.head_steps} leaves none of training steps = {training.steps} to the body"
            )
        return Algorithm(LocalSgd(training, (HeadFirst(self.head_steps),)), server, head)


@dataclass(frozen=True)
class HeadFirst:
    """Takes the gradients of whatever rests out of a step, so that the optimiser passes it by.

    Attributes:
        head_steps: see `FedRep`.
    """

    head_steps: int

    def begin(self, network: nn.Module, broadcast: Tensors, memory: Tensors) -> RunningHeadFirst:
        """Sort the weights into head and body."""
        prefix = name_of_head(network) + "."
        named = dict(network.named_parameters())
        heads = [value for name, value in named.items() if name.startswith(prefix)]
        bodies = [value for name, value in named.items() if not name.startswith(prefix)]
        return RunningHeadFirst(self.head_steps, heads, bodies)


@dataclass
class RunningHeadFirst:
    """`HeadFirst` in one round."""

    head_steps: int
    heads: list[nn.Parameter]
    bodies: list[nn.Parameter]
    steps: int = 0

    def adjust(self) -> None:
        """Let the body rest first, then the head."""
        for parameter in self.bodies if self.steps < self.head_steps else self.heads:
            parameter.grad = None
        self.steps += 1

    def finish(self) -> tuple[Tensors, Tensors]:
        """Return nothing: the head is kept as what is personal is."""
        return {}, {}
