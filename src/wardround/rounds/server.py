"""Where the model's state lives: at the coordinator, or at the sites and only there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from wardround.algorithms import ServerStep
from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate, Tensors
from wardround.errors import RunError, SiteError
from wardround.fabric.base import Answer, Fabric, bounded
from wardround.privacy import Event
from wardround.privacy.words import Words
from wardround.protect.noise import with_gaussian
from wardround.protect.quantise import Grid
from wardround.protect.scheme import Scheme
from wardround.rounds.digests import digest_of
from wardround.rounds.exchange import Collected
from wardround.rounds.frames import GroupSum
from wardround.rounds.metered import Metered
from wardround.rounds.opening import Opening, combined
from wardround.rounds.plan import Plan
from wardround.rounds.wire import tensor_of

MOST_SHARES = 2
"""Sites that are asked for the state in a round: one may share something else, and a state is long."""


class Server(Protocol):
    """Holds the state, or knows who does; also the `Opener` of sums of frames."""

    def open(self, ctx: RoundContext, number: int, group: GroupSum) -> str:
        """See `Opener.open`."""
        ...

    def advance(self, ctx: RoundContext, collected: Collected) -> str:
        """Take the server step and return the digest of the new state."""
        ...

    def broadcast(self, body: Mapping[str, Any]) -> Message:
        """Return `body` with what a site needs to train."""
        ...

    def started(self, sent: Message) -> str:
        """Return what the ledger holds for the broadcast `sent`; see `ledger.entries.Broadcast`."""
        ...

    def model(self, body: Mapping[str, Any]) -> Message:
        """Return `body` with what a site needs to evaluate."""
        ...

    def events(self) -> list[str]:
        """Return, and forget, what went wrong and was mended, in words."""
        ...

    def carried(self) -> tuple[int, int]:
        """Return, and forget, the bytes that opening and stepping took: down to the sites, and up."""
        ...

    def spent(self) -> tuple[Event, ...]:
        """Return, and forget, the noise that was added to sums, one event for each."""
        ...

    @property
    def state(self) -> Tensors:
        """What the coordinator's journal keeps."""
        ...


class OpenServer:
    """The coordinator holds the state and reads the sum."""

    def __init__(self, plan: Plan, step: ServerStep, scheme: Scheme | None, state: Tensors) -> None:
        self._plan = plan
        self._step = step
        self._scheme = scheme
        self._opened: dict[int, Aggregate] = {}
        self._spent: list[Event] = []
        self.state = state

    def open(self, ctx: RoundContext, number: int, group: GroupSum) -> str:
        """Open a sum of frames that are not encrypted; see `Opener.open`."""
        if self._scheme is None:
            raise RunError("this plan sums no frames")
        grid = self._plan.grid(self._step.broadcast(self.state), ctx)
        opening = Opening(self._scheme, grid, group.sites, group.weight)
        for part, frame in enumerate(group.frames()):
            opening.take(part, frame, None)
        try:
            self._opened[number] = opening.aggregate(self._plan.tested_norm)
        except SiteError as error:
            return str(error)
        return ""

    def sum_of(self, number: int) -> Aggregate:
        """Return the opened sum of a group of the round."""
        return self._opened[number]

    def advance(self, ctx: RoundContext, collected: Collected) -> str:
        """Apply the step here; see `Server.advance`."""
        total = collected.total or combined([self._opened[number] for number in collected.groups])
        self._opened = {}
        total = self._noisy(total, ctx)
        # The step sees who is in the mean: SCAFFOLD weighs the change of the variates by their share.
        self.state = self._step.apply(self.state, total.mean(), replace(ctx, cohort=total.sites))
        return digest_of(self.state)

    def _noisy(self, total: Aggregate, ctx: RoundContext) -> Aggregate:
        """Add the coordinator's own noise, if the plan leaves it to the coordinator."""
        scale = self._plan.guarantee.scale if self._plan.guarantee else None
        stage = self._plan.pipeline.noise
        if scale is None or stage is None or not stage.is_central:
            return total
        grid = self._plan.grid(self._step.broadcast(self.state), ctx)
        rounding = grid.rounding if isinstance(grid, Grid) else 0.0
        tensors, event = with_gaussian(total.tensors, scale, Words.at(ctx, "noise", scale.seeded), rounding)
        self._spent.append(event)
        return replace(total, tensors=tensors)

    def spent(self) -> tuple[Event, ...]:
        """Return, and forget, the noise that was added here; see `Server.spent`."""
        spent, self._spent = tuple(self._spent), []
        return spent

    def broadcast(self, body: Mapping[str, Any]) -> Message:
        """Send what the step broadcasts."""
        return Message(body, self._step.broadcast(self.state))

    def started(self, sent: Message) -> str:
        """Return the digest of the tensors; see `Server.started`."""
        return digest_of(sent.tensors)

    def model(self, body: Mapping[str, Any]) -> Message:
        """Send the weights."""
        return Message(body, self._step.model(self.state))

    def events(self) -> list[str]:
        """Return nothing: nobody else holds the state."""
        return []

    def carried(self) -> tuple[int, int]:
        """Return nothing: the sum is opened where it is formed."""
        return 0, 0


class BlindServer:
    """The sites hold the state, each the same; the coordinator knows its digest.

    A site that misses a step gets the state from another, sealed under the sites' own key.
    """

    def __init__(self, fabric: Fabric, timeout_s: float | None, last_round: int = -1, digest: str = "") -> None:
        """Go on after `last_round`, whose state has `digest`."""
        self._fabric = Metered(fabric)
        self._timeout_s = timeout_s
        self._last_round = last_round
        self._digest = digest
        self._behind: set[str] = set()
        self._told: list[str] = []
        self.state: Tensors = {}

    def find(self) -> None:
        """Ask which sites hold the state, and mend those that do not.

        Raises:
            RunError: none does.
        """
        if self._last_round >= 0:
            body = Message({"round": self._last_round})
            held = {a.site: _field(a, "digest") for a in self._ask(self._fabric.sites(), "holds", body)}
            self._behind = {site for site, digest in held.items() if digest != self._digest}
            self.mend()

    def open(self, ctx: RoundContext, number: int, group: GroupSum) -> str:
        """Let every site open the sum; what most of them say of it holds. See `Opener.open`."""
        said: dict[str, str] = {}
        lost: set[str] = set(self._behind)
        fields = {"round": ctx.round, "group": number, "sites": list(group.sites), "weight": group.weight}
        for part, frame in enumerate(group.frames()):
            body = Message({**fields, "part": part}, {"sum": tensor_of(frame)})
            for answer in self._ask([site for site in self._fabric.sites() if site not in lost], "unseal", body):
                if answer.message is None:
                    lost.add(answer.site)
                    self._told.append(f"site {answer.site} could not open round {ctx.round}: {answer.failure}")
                said[answer.site] = _field(answer, "void")
        votes = Counter(bool(reason) for site, reason in said.items() if site not in lost)
        if not votes:
            raise RunError(f"no site could open the sum of round {ctx.round}: mend the sites and go on with --resume")
        self._behind = lost
        if votes[True] <= votes[False]:
            return ""
        return next(reason for site, reason in said.items() if reason and site not in lost)

    def advance(self, ctx: RoundContext, collected: Collected) -> str:
        """Let every site take the step; their states must agree. See `Server.advance`.

        Raises:
            RunError: no state is held by more than half of the sites that took the step.
        """
        fields = {"round": ctx.round, "groups": list(collected.groups), "population": ctx.population}
        digests = {}
        for answer in self._ask(self._fabric.sites(), "step", Message(fields)):
            digest = _field(answer, "digest")
            if digest:
                digests[answer.site] = digest
            elif answer.site not in self._behind:
                self._told.append(f"site {answer.site} missed the step of round {ctx.round}: {answer.failure}")
        agreed, votes = Counter(digests.values()).most_common(1)[0] if digests else ("", 0)
        if 2 * votes <= len(digests):
            raise RunError(f"the sites' states differ after round {ctx.round}: go on with --resume")
        self._last_round, self._digest = ctx.round, agreed
        self._behind = {site for site in self._fabric.sites() if digests.get(site) != agreed}
        self.mend()
        return agreed

    def mend(self) -> None:
        """Bring sites that fell behind up to date; one that cannot be reached is tried again after the next round.

        Raises:
            RunError: nobody holds the state.
        """
        if not self._behind:
            return
        holders = [site for site in self._fabric.sites() if site not in self._behind]
        turn = self._last_round % max(1, len(holders))
        body, shares = Message({"round": self._last_round}), 0
        for holder in holders[turn:] + holders[:turn]:
            shared = next(iter(self._ask([holder], "share", body))).message
            if shared is None:
                continue
            shares += 1
            sent = Message({"round": self._last_round, "digest": self._digest}, shared.tensors)
            for answer in self._ask(sorted(self._behind), "adopt", sent):
                if answer.message is not None:
                    self._behind.discard(answer.site)
                    self._told.append(f"site {answer.site} took over the state after round {self._last_round}")
            if not self._behind or shares == MOST_SHARES:
                break
        if not shares:
            raise RunError(f"no site holds the state after round {self._last_round}: its runs cannot go on")

    def broadcast(self, body: Mapping[str, Any]) -> Message:
        """Say which state to train from."""
        return Message({**body, "opened": self._last_round})

    def started(self, sent: Message) -> str:
        """Return the digest of the state; see `Server.started`."""
        return self._digest

    def model(self, body: Mapping[str, Any]) -> Message:
        """Say which state to evaluate."""
        return Message({**body, "opened": self._last_round})

    def finish(self, body: Tensors = MappingProxyType({})) -> str:
        """Let every site write the trained weights; return the SHA-256 that most of their files have.

        Args:
            body: of a network that is cut: the sites hold head and tail alone.

        Raises:
            RunError: no site could.
        """
        told = Message({"opened": self._last_round}, body)
        said = Counter(filter(None, (_field(a, "sha256") for a in self._ask(self._fabric.sites(), "finish", told))))
        if not said:
            raise RunError("no site could write the trained weights: go on with --resume")
        return said.most_common(1)[0][0]

    def events(self) -> list[str]:
        """Return, and forget, what was mended."""
        told, self._told = self._told, []
        return told

    def carried(self) -> tuple[int, int]:
        """Return the bytes since the last call; see `Server.carried`."""
        return self._fabric.taken()

    def spent(self) -> tuple[Event, ...]:
        """Return nothing: who opens a sum would know the noise."""
        return ()

    def _ask(self, sites: Sequence[str], op: str, body: Message) -> Iterator[Answer]:
        return self._fabric.gather(sites, op, body, self._timeout_s)


def _field(answer: Answer, name: str) -> str:
    value = answer.message.fields.get(name) if answer.message is not None else None
    return bounded(value) if isinstance(value, str) else ""
