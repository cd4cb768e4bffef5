"""A round whose sites are dealt to groups: the sums of groups are judged, where updates are judged in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wardround.aggregate import Aggregator, Mean
from wardround.checker import View
from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate, Update
from wardround.errors import QuorumLost
from wardround.rounds.exchange import Collected, FrameExchange
from wardround.rounds.screening import Screening
from wardround.rounds.server import OpenServer


@dataclass
class GroupExchange:
    """Lets screens and the aggregator judge the mean of each group.

    Attributes:
        frames: asks for the updates, and opens the sum of each group.
        server: has the opened sums.
        screening: the plan's screens.
    """

    frames: FrameExchange
    server: OpenServer
    screening: Screening

    def collect(self, ctx: RoundContext, body: Message) -> Collected:
        """Carry out the round, and judge its groups; see `Exchange.collect`.

        The quorum counts the sites whose sums were opened, also those that are then left out with their group: else a
        few malicious sites could end a run together with those that they are dealt to.
        """
        collected = self.frames.collect(ctx, body)
        sums = [self.server.sum_of(number) for number in collected.groups]
        means = [_mean(total, ctx, collected.accepted) for total in sums]
        members = {mean.site: tuple(mean.members) for mean in means}
        total = self._aggregator.combine(self.screening.judge(means, ctx, body.tensors))
        refused, failed = self.screening.refused(collected.accepted), dict(collected.failed)
        failed |= refused
        sites = tuple(sorted(site for name in total.sites for site in members[name]))
        if not sites:
            reasons = "; ".join(f"{site}: {reason}" for site, reason in failed.items())
            raise QuorumLost(
                f"round {ctx.round} has no group left that its rules let count ({reasons}): change the rules"
            )
        return replace(
            collected,
            sites=sites,
            accepted={site: said for site, said in collected.accepted.items() if site not in refused},
            failed=failed,
            refused={site: collected.accepted[site] for site in refused},
            total=replace(total, sites=sites),
            judged=self.screening.with_weights(self.frames.plan.aggregator.combiner.name, total.chosen),
        )

    @property
    def _aggregator(self) -> Aggregator:
        """What combines the means of groups: a mean weighs each by all its members, as the mean of all sites does."""
        chosen = self.frames.plan.aggregator
        return Mean() if chosen.combiner.needs is View.SUM else chosen


def _mean(total: Aggregate, ctx: RoundContext, accepted: Mapping[str, Mapping[str, Any]]) -> Update:
    """Return the mean of a group as an update; its weight is the whole number that the members' weights sum to."""
    reports = {
        site: {k: accepted[site][k] for k in ("loss", "last_loss") if k in accepted[site]} for site in total.sites
    }
    return Update("+".join(total.sites), ctx.round, total.mean(), int(total.weight), members=reports)
