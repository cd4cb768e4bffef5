"""Split learning's exchange: head and tail go from site to site, and nothing is averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate, Tensors, applied
from wardround.fabric.base import Fabric
from wardround.rounds.exchange import Collected, check_quorum
from wardround.rounds.inbox import Inbox
from wardround.rounds.listener import Listener
from wardround.rounds.plan import Plan
from wardround.rounds.split.body_host import BodyHost


@dataclass
class RelayExchange:
    """Asks one site after the other; each is given what the last one left. Implements `Exchange`.

    Attributes:
        plan: of the run.
        fabric: carries the calls.
        listener: is told of each answer.
        template: names, shapes and dtypes of head and tail.
        host: draws the order of the sites.
    """

    plan: Plan
    fabric: Fabric
    listener: Listener
    template: Tensors
    host: BodyHost

    def collect(self, ctx: RoundContext, body: Message) -> Collected:
        """Relay head and tail through the cohort; see `Exchange.collect`."""
        inbox = Inbox(ctx.round, self.template, self.listener)
        weights, down = dict(body.tensors), 0
        for site in self.host.turns(ctx.cohort):
            told = Message(body.fields, weights)
            down += told.size_bytes
            for update in inbox.updates(self.fabric.gather([site], "train", told, self.plan.timeout_s or None)):
                weights = applied(weights, update.tensors)
        sites = tuple(site for site in ctx.cohort if site in inbox.accepted)
        check_quorum(self.plan, ctx, sites, inbox.failed)
        change = {name: np.asarray(weights[name] - value) for name, value in body.tensors.items()}
        accepted = {site: {**inbox.accepted[site], "weight": 1.0} for site in sites}
        total = Aggregate(change, 1.0, sites)
        return Collected(sites, accepted, inbox.failed, down, inbox.bytes_up, total=total)
