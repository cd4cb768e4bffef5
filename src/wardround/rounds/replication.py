"""What a site does where the coordinator is blind: open the sum, take the server step, help a site that fell behind."""

from __future__ import annotations

from collections.abc import Callable

import safetensors.numpy
from safetensors import SafetensorError

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate
from wardround.errors import SiteError, WireError
from wardround.protect.scheme import Scheme
from wardround.rounds.digests import digest_of
from wardround.rounds.keyring import Keyring
from wardround.rounds.opening import Opening, combined
from wardround.rounds.plan import Plan
from wardround.rounds.replica import Replica
from wardround.rounds.wire import bytes_of, names_of, number_of, tensor_of

_STATE = b"wardround state 1"

MOST_OPENINGS = 4
"""Sums that a site opens in a round, for each site of the run. To bisect a round of n sites takes at most n - 1, the
rest is for coordinators that are started again. Each answer tells whoever made the sum a little about the shared
key."""


class Replication:
    """Opens sums and keeps this site's copy of the state in step with the others'.

    Attributes:
        operations: what the coordinator may call.
    """

    def __init__(self, plan: Plan, scheme: Scheme, keyring: Keyring, replica: Replica) -> None:
        self._plan = plan
        self._scheme = scheme
        self._keyring = keyring
        self._replica = replica
        self._openings: dict[tuple[int, int], Opening] = {}
        self._sums: dict[tuple[int, int], Aggregate] = {}
        self._begun: dict[int, int] = {}
        self.operations: dict[str, Callable[[Message], Message]] = {
            "unseal": self._unseal,
            "step": self._step,
            "holds": self._holds,
            "share": self._share,
            "adopt": self._adopt,
        }

    def _unseal(self, body: Message) -> Message:
        num_sites = len(self._keyring.keys.roster)
        round_index, group = number_of(body, "round"), number_of(body, "group", num_sites)
        part, place = number_of(body, "part"), (round_index, group)
        if part == 0:
            self._count(round_index, MOST_OPENINGS * num_sites)
            grid = self._plan.grid(self._replica.broadcast(round_index - 1), self._place(round_index))
            weight = number_of(body, "weight", self._scheme.weight_total)
            self._openings = {key: held for key, held in self._openings.items() if key[0] == round_index}
            self._openings[place] = Opening(self._scheme, grid, names_of(body, "sites"), weight)
        if place not in self._openings:
            raise SiteError(f"this site has not seen the first part of the sum of round {round_index}")
        opening = self._openings[place]
        opening.take(part, bytes_of(body, "sum"), self._keyring.sealer)
        if not opening.is_whole:
            return Message({"void": ""})
        del self._openings[place]
        self._sums = {key: held for key, held in self._sums.items() if key[0] == round_index}
        try:
            self._sums[place] = opening.aggregate(self._plan.tested_norm)
        except SiteError as error:
            return Message({"void": str(error)})
        return Message({"void": ""})

    def _place(self, round_index: int) -> RoundContext:
        """Return a round as everybody who has the plan sees it: enough for what is chosen publicly."""
        return RoundContext(self._plan.seed, round_index, self._plan.rounds, (), 0)

    def _count(self, round_index: int, most: int) -> None:
        begun = self._begun.get(round_index, 0) + 1
        if begun > most:
            raise SiteError(f"this site opened {most} sums of round {round_index}, no more")
        self._begun[round_index] = begun

    def _step(self, body: Message) -> Message:
        round_index = number_of(body, "round", self._plan.rounds - 1)
        groups = body.fields.get("groups")
        if not isinstance(groups, list) or not groups or not all((round_index, g) in self._sums for g in groups):
            raise SiteError(f"this site has not opened the sums of round {round_index}")
        sums = [self._sums[round_index, group] for group in groups]
        if len({site for one in sums for site in one.sites}) < sum(len(one.sites) for one in sums):
            raise SiteError(f"the sums of round {round_index} that are to be added have sites in common")
        total = combined(sums)
        population = number_of(body, "population")
        ctx = RoundContext(self._plan.seed, round_index, self._plan.rounds, total.sites, population)
        digest = self._replica.step(total, ctx)
        self._sums = {}
        return Message({"digest": digest})

    def _holds(self, body: Message) -> Message:
        try:
            return Message({"digest": digest_of(self._replica.after(number_of(body, "round")))})
        except SiteError:
            return Message({"digest": ""})

    def _share(self, body: Message) -> Message:
        round_index = number_of(body, "round")
        state = safetensors.numpy.save(dict(self._replica.after(round_index)))
        box = self._keyring.keys.seal_for_roster(state, _STATE + round_index.to_bytes(8, "big"))
        return Message({}, {"state": tensor_of(box)})

    def _adopt(self, body: Message) -> Message:
        round_index = number_of(body, "round")
        box = bytes_of(body, "state")
        opened = self._keyring.keys.open_from_roster(box, _STATE + round_index.to_bytes(8, "big"))
        try:
            state = safetensors.numpy.load(opened)
        except (SafetensorError, ValueError, KeyError) as error:
            raise WireError(f"the state that another site sent is not valid safetensors: {error}") from None
        self._replica.adopt(round_index, state, str(body.fields.get("digest")))
        return Message()
