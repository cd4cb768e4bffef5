"""Listens to a run, and makes observations of what went over the wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from wardround.attacks.inversion.observation import LocalSteps, Observation
from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.fabric.base import Answer, Body, Fabric
from wardround.protect.compact import Compact
from wardround.protect.outgoing import incoming
from wardround.rounds.plan import Plan
from wardround.tasks import Task
from wardround.tasks.classification import by_slot, load_weights

TRAIN = "train"


class Wiretap:
    """A `Fabric` around a fabric, which keeps what a curious coordinator would: calls to train, and the answers.

    Attributes:
        calls: round -> what the sites were told.
        answers: round -> site -> what it answered.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.calls: dict[int, Message] = {}
        self.answers: dict[int, dict[str, Message]] = {}

    def sites(self) -> tuple[str, ...]:
        """Return the sites' names; see `Fabric.sites`."""
        return self._fabric.sites()

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """Call and keep; see `Fabric.gather`."""
        answers = self._fabric.gather(sites, op, body, timeout_s)
        if op != TRAIN or not isinstance(body, Message):
            yield from answers
            return
        self.calls[body.fields["round"]] = body
        for answer in answers:
            if answer.message is not None:
                self.answers.setdefault(body.fields["round"], {})[answer.site] = answer.message
            yield answer

    def events(self) -> list[str]:
        """Return what the fabric mended; see `Fabric.events`."""
        return self._fabric.events()

    def close(self) -> None:
        """Close the fabric."""
        self._fabric.close()


@dataclass(frozen=True, eq=False)
class Sighting:
    """An observation, and whose update it is.

    Attributes:
        round: of the run.
        sites: whose images are behind it; several for a sum.
        seen: the observation.
    """

    round: int
    sites: tuple[str, ...]
    seen: Observation


def sightings(plan: Plan, task: Task, size: tuple[int, int], tap: Wiretap, index: int) -> list[Sighting]:
    """Return what a coordinator saw of one round.

    Where updates travel in the clear it saw each. Where they are masked or encrypted it saw the next broadcast, whose
    difference to the last one is the mean of all updates.

    Args:
        plan: of the run.
        task: what is learned; it makes the network.
        size: height and width of an image, which the plan's source says.
        tap: listened to the run.
        index: of the round.

    Raises:
        PlanError: the local work is none that an attacker can undo; or the coordinator saw neither updates nor weights.
    """
    work = _local_steps(plan)
    told = tap.calls.get(index)
    if told is None or not told.tensors:
        raise PlanError(
            "whoever carries this plan's messages sees neither weights nor updates: its sites keep the model. "
            'Say open_at = "coordinator" to attack the sum that the sites open'
        )
    eye = _Eye(plan, task, size, work, told.tensors)
    if not plan.pipeline.sums_frames:
        ctx = RoundContext(plan.seed, index, plan.rounds, tuple(told.fields["cohort"]), told.fields["population"])
        compact = plan.pipeline.compact(told.tensors, ctx)
        return [
            Sighting(index, (site,), eye.look(_opened(answer, compact), eye.images_at(answer), (1.0,)))
            for site, answer in sorted(tap.answers[index].items())
        ]
    later = tap.calls.get(index + 1)
    if later is None:
        raise PlanError(f"nothing follows round {index}, so that its sum was not seen: let the run go on for a round")
    mean = {name: later.tensors[name] - value for name, value in told.tensors.items()}
    answers = sorted(tap.answers[index].items())
    counts = [eye.images_at(answer) for _, answer in answers]
    if len(set(counts)) > 1:
        raise PlanError("the sites' updates are made of different numbers of images, which no attack here can sort out")
    weights = [plan.aggregator.share(int(answer.fields["num_examples"])) for _, answer in answers]
    shares = tuple(weight / sum(weights) for weight in weights)
    return [Sighting(index, tuple(site for site, _ in answers), eye.look(mean, sum(counts), shares))]


@dataclass(frozen=True)
class _Eye:
    plan: Plan
    task: Task
    size: tuple[int, int]
    work: LocalSteps
    broadcast: Tensors

    def images_at(self, answer: Message) -> int:
        held = int(answer.fields["num_examples"])
        return self.work.steps * min(self.plan.training.batch_size, held)

    def look(self, change: Tensors, num_images: int, shares: tuple[float, ...]) -> Observation:
        network = self.task.build(self.plan.seed)
        load_weights(network, self.broadcast)
        named = {name: torch.from_numpy(value.copy()) for name, value in by_slot(change).items()}
        trained = {name for name, value in network.named_parameters() if value.requires_grad}
        for name, value in network.named_parameters():
            value.requires_grad_(name in named)
        scale = self.work.steps * self.work.learning_rate
        gradient = {name: -value / scale for name, value in named.items() if name in trained}
        return Observation(
            network=network.to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
            gradient=gradient,
            shape=(self.task.channels, *self.size),
            num_images=num_images,
            work=self.work,
            statistics={name: value for name, value in named.items() if name not in trained},
            shares=shares,
        )


def _opened(answer: Message, compact: Compact | None) -> Tensors:
    return answer.tensors if compact is None else incoming(compact, answer.tensors)


def _local_steps(plan: Plan) -> LocalSteps:
    training = plan.training
    if training.optimiser != "sgd" or (training.momentum and training.steps != 1) or not training.steps:
        raise PlanError(
            "what an update gives away is read off plain SGD with a number of steps: this plan trains otherwise, so "
            "let the attack take the worst case, one step on a few images (--images)"
        )
    return LocalSteps(training.steps, training.learning_rate, training.weight_decay)
