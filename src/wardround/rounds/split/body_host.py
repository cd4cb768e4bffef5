"""The body host: trains and applies the body of a cut network, and never sees an image, a label, a head or a tail."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate, Tensors, Update, all_finite, in_group, of_group, without_group
from wardround.errors import RunError, WireError
from wardround.rounds.digests import digest_of
from wardround.rounds.plan import Plan
from wardround.rounds.split.asks import Ask, Wire
from wardround.rounds.split.forms import FORMS
from wardround.rounds.split.trainee import Trainee
from wardround.rounds.store import SiteStore
from wardround.tasks import Task
from wardround.tasks.classification import load_weights, weights_of
from wardround.tasks.models.cut import cut
from wardround.tasks.models.halves import InnerNetwork, probe
from wardround.tasks.start import start_from

KIND = "body"
_ONE = "one"
MOST_LOOKS = 4
"""How often a site may look at each of its images in one evaluation: metrics and pictures ask for some twice."""


@dataclass
class _Seat:
    """A site's place in a round.

    Attributes:
        body: what it trains.
        steps: most steps that its plan gives it.
        taken: steps begun.
    """

    body: Trainee
    steps: int
    taken: int = 0


class BodyHost:
    """Serves the sites of one run, and keeps the body between its rounds.

    Attributes:
        plan: of the run.
        work: what it does in a round.
        carried: bytes up and down over the cut, and steps taken, since the round began.
    """

    def __init__(
        self,
        plan: Plan,
        task: Task,
        start: Tensors,
        facts: Mapping[str, Mapping[str, Any]],
        store: SiteStore,
        last_round: int,
    ) -> None:
        """Make the body, or read it again.

        Args:
            plan: of the run.
            task: what is learned.
            start: weights that the user supplied; see `Start`.
            facts: site -> what it said of itself when it joined.
            store: where the body is kept, one file per round.
            last_round: the last completed round; -1 before the first.

        Raises:
            SiteError: the body of that round is gone.
        """
        body, rules = plan.composed().body, plan.split
        if body is None or rules is None:
            raise RunError("this plan cuts no network")
        self.plan, self.work, self.carried = plan, body, np.zeros(3, np.int64)
        whole = task.build(plan.seed).to("cuda" if torch.cuda.is_available() else "cpu")
        start_from(whole, start)
        split = cut(whole, rules.depth)
        self._wire = Wire(FORMS[rules.wire], *probe(split, task.channels))
        self._network = InnerNetwork(split)
        self._idle: InnerNetwork | None = None
        self._facts = facts
        self._store = store
        self._seats: dict[str, _Seat] = {}
        self._looked: dict[str, int] = {}
        self._shared: Trainee | None = None
        self._saved: tuple[str, Any] | None = None
        kept = store.read(last_round)
        self._state = without_group(kept, "optimiser") or body.server.start(weights_of(self._network))
        self._optimisers = of_group(kept, "optimiser")

    @property
    def weights(self) -> Tensors:
        """The trained body, under the names of the whole network."""
        return self.work.server.model(self._state)

    @property
    def digest(self) -> str:
        """SHA-256 of the body's state."""
        return digest_of(self._state)

    def steps(self, site: str) -> int:
        """Return the steps that a site takes in a round."""
        return self.plan.training.num_steps(self._facts[site]["num_train"])

    def begin(self, ctx: RoundContext) -> None:
        """Prepare a body, or one for each site of the cohort."""
        self._ctx, self._idle, self._saved = ctx, None, None
        self.carried[:] = 0
        weights = self.work.server.broadcast(self._state)
        if self.work.copies:
            bodies = {site: self._trainee(copy.deepcopy(self._network), weights, site) for site in ctx.cohort}
        else:
            self._shared = self._trainee(self._network, weights, _ONE)
            bodies = dict.fromkeys(ctx.cohort, self._shared)
        self._seats = {site: _Seat(body, self.steps(site)) for site, body in bodies.items()}

    def begin_looks(self) -> None:
        """Prepare for sites that look at their validation or test images once more."""
        self._looked = {}

    def turns(self, sites: Sequence[str]) -> list[str]:
        """Return `sites` in the order in which they take turns in this round; the same however often it is asked."""
        place = {site: rank for rank, site in enumerate(self._ctx.rng("turns").permutation(list(self._ctx.cohort)))}
        return sorted(sites, key=place.__getitem__)

    def schedule(self, sites: Sequence[str]) -> list[str]:
        """Return whose batch comes when: each site's steps are spread evenly over the round."""
        places = [((step + 0.5) / self.steps(site), site) for site in sites for step in range(self.steps(site))]
        return [site for _, site in sorted(places)]

    def seats(self, site: str) -> bool:
        """Whether a site takes part in the round that is under way."""
        return site in self._seats

    def turn(self, site: str) -> None:
        """Remember the body as it is before a site's turn, so that the turn can be undone."""
        self._saved = (site, self._seats[site].body.saved())

    def reply(self, site: str, message: Message) -> Message:
        """Do what a site asks for.

        Raises:
            WireError: its message is none that a site of this plan sends now.
        """
        kind, tensor = self._wire.read_ask(message)
        self.carried[0] += message.size_bytes
        found = {Ask.FORWARD: self._forward, Ask.BACKWARD: self._backward, Ask.LOOK: self._look}[kind](site, tensor)
        answer = self._wire.answer(found)
        self.carried[1] += answer.size_bytes
        return answer

    def lose(self, site: str) -> int:
        """Let a site go that was lost in the round; return how many of its steps the body keeps."""
        seat = self._seats.pop(site)
        if self.work.copies:
            return 0
        if self._saved is not None and self._saved[0] == site:
            seat.body.restore(self._saved[1])
            return 0
        return seat.taken

    def advance(self, ctx: RoundContext, sites: Sequence[str]) -> dict[str, Any]:
        """End a round in which the heads and tails of `sites` count, and keep the body on disk.

        Returns:
            What the round's record says of it; see `RoundRecord.split`.

        Raises:
            RunError: the body is not finite any more.
        """
        self._saved = None
        if self._shared is not None:
            total = Aggregate(self._shared.change(), 1.0, tuple(sites))
        else:
            total = self._combined(ctx, sites)
        if not all_finite(total.tensors.values()):
            raise RunError("the body diverged: lower training.learning_rate")
        self._state = self.work.server.apply(self._state, total.mean(), replace(ctx, cohort=total.sites))
        self._optimisers |= self._memories(sites) if self.plan.training.keep_optimiser else {}
        self._seats, self._shared = {}, None
        self._store.write(ctx.round, {**self._state, **in_group(self._optimisers, "optimiser")})
        self._store.forget(ctx.round - 1)
        up, down, steps = self.carried.tolist()
        return {"steps": steps, "bytes_up": up, "bytes_down": down, "body_digest": self.digest}

    def _trainee(self, network: InnerNetwork, weights: Tensors, owner: str) -> Trainee:
        return Trainee(network, self.plan.training, weights, of_group(self._optimisers, owner))

    def _combined(self, ctx: RoundContext, sites: Sequence[str]) -> Aggregate:
        return self.plan.aggregator.combine(
            Update(site, ctx.round, self._seats[site].body.change(), self._facts[site]["num_train"])
            for site in sorted(sites)
        )

    def _memories(self, sites: Sequence[str]) -> dict[str, np.ndarray]:
        owners = {site: site if self.work.copies else _ONE for site in sites}
        return {
            name: value
            for site, owner in owners.items()
            for name, value in in_group(self._seats[site].body.memory(), owner).items()
        }

    def _forward(self, site: str, activation: torch.Tensor) -> torch.Tensor:
        seat = self._seat(site)
        if seat.taken == seat.steps:
            raise WireError(f"the site wants more than the {seat.steps} steps of its plan")
        if activation.shape[0] > self.plan.training.batch_size:
            raise WireError(f"a batch of {activation.shape[0]} images is larger than the plan's")
        seat.taken += 1
        self.carried[2] += 1
        return seat.body.forward(site, activation, self._ctx, seat.taken)

    def _backward(self, site: str, gradient: torch.Tensor) -> torch.Tensor:
        seat = self._seat(site)
        progress = (self._ctx.round + (seat.taken - 1) / seat.steps) / self._ctx.rounds
        return seat.body.backward(site, gradient, progress)

    def _look(self, site: str, activation: torch.Tensor) -> torch.Tensor:
        held = max(self._facts[site]["num_val"], self._facts[site]["num_test"])
        self._looked[site] = self._looked.get(site, 0) + len(activation)
        if self._looked[site] > MOST_LOOKS * held:
            raise WireError(f"the site looks at its {held} images more than {MOST_LOOKS} times over")
        if self._idle is None:
            self._idle = copy.deepcopy(self._network).eval()
            load_weights(self._idle, self.weights)
        with torch.inference_mode():
            return self._idle(activation.to(next(self._idle.parameters()).device))  # type: ignore[no-any-return]

    def _seat(self, site: str) -> _Seat:
        if site not in self._seats:
            raise WireError("the site trains outside of a round")
        return self._seats[site]
