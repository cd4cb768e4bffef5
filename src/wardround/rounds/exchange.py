"""How one round's updates become a sum: as tensors in the clear, or as frames that are summed unread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Aggregate, Tensors
from wardround.errors import QuorumLost
from wardround.fabric.base import Fabric
from wardround.privacy import Event
from wardround.protect.quantise import integer_weights
from wardround.protect.scheme import Scheme
from wardround.rounds.frames import GroupSum, Summation
from wardround.rounds.groups import Groups
from wardround.rounds.inbox import Inbox
from wardround.rounds.listener import Listener
from wardround.rounds.metered import Metered
from wardround.rounds.plan import Plan
from wardround.rounds.roster import Roster
from wardround.rounds.screening import Screening


@dataclass(frozen=True)
class Collected:
    """What one round brought in.

    Attributes:
        sites: whose updates are in the sum, sorted.
        accepted: site -> what `RoundRecord.accepted` says of it.
        failed: site -> why its update does not count.
        bytes_down: bytes that the sites were told.
        bytes_up: bytes that the accepted updates took.
        events: what went wrong on the way, in words.
        total: the sum, where it was formed in the clear.
        groups: number of each opened group -> its sites, where frames were summed.
        spent: site -> noise that it added, one event for each; also of sites that were lost later on.
        refused: see `RoundRecord.refused`.
        judged: see `RoundRecord.judged`.
    """

    sites: tuple[str, ...]
    accepted: Mapping[str, Mapping[str, Any]]
    failed: Mapping[str, str]
    bytes_down: int
    bytes_up: int
    events: tuple[str, ...] = ()
    total: Aggregate | None = None
    groups: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    spent: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)
    refused: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    judged: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Exchange(Protocol):
    """Asks a cohort for its updates."""

    def collect(self, ctx: RoundContext, body: Message) -> Collected:
        """Carry out one round's exchange; `body` is what every site of the cohort is told.

        Raises:
            QuorumLost: too few sites are in the sum.
        """
        ...


class Opener(Protocol):
    """Opens a group's sum, here or at the sites, and keeps it for the server step."""

    def open(self, ctx: RoundContext, number: int, group: GroupSum) -> str:
        """Open and test; return why the sum cannot be used, or nothing."""
        ...


@dataclass
class ClearExchange:
    """Updates travel as tensors and are summed one by one.

    Attributes:
        plan: of the run.
        fabric: carries the calls.
        listener: is told of each answer.
        template: names, shapes and dtypes of an update.
        screening: the plan's screens.
    """

    plan: Plan
    fabric: Fabric
    listener: Listener
    template: Tensors
    screening: Screening

    def collect(self, ctx: RoundContext, body: Message) -> Collected:
        """Ask, check and sum; see `Exchange.collect`."""
        compact = self.plan.pipeline.compact(self.template, ctx)
        inbox = Inbox(ctx.round, self.template, self.listener, compact, self.plan.guarantee)
        answers = self.fabric.gather(ctx.cohort, "train", body, self.plan.timeout_s or None)
        total = self.plan.aggregator.combine(self.screening.judge(inbox.updates(answers), ctx, body.tensors))
        inbox.refuse(self.screening.refused(inbox.accepted))
        check_quorum(self.plan, ctx, total.sites, inbox.failed)
        down = len(ctx.cohort) * body.size_bytes
        accepted = {
            site: {**said, "weight": self.plan.aggregator.share(said["num_examples"])}
            for site, said in inbox.accepted.items()
        }
        return Collected(
            total.sites,
            accepted,
            inbox.failed,
            down,
            inbox.bytes_up,
            total=total,
            spent=inbox.spent,
            refused=inbox.refused,
            judged=self.screening.with_weights(self.plan.aggregator.combiner.name, total.chosen),
        )


@dataclass
class FrameExchange:
    """Updates travel as frames; what the coordinator sums, it does not read.

    Attributes:
        plan: of the run.
        fabric: carries the calls.
        listener: is told of each site's training.
        scheme: of the frames.
        roster: who the sites are; ``None`` where there are no keys.
        num_values: values in an update.
        opener: opens the sums.
        examples: site -> training examples, as it said when it joined. A round's weights follow from these alone, so
            that a round that is asked for again, of fewer sites, has the same.
    """

    plan: Plan
    fabric: Fabric
    listener: Listener
    scheme: Scheme
    roster: Roster | None
    num_values: int
    opener: Opener
    examples: Mapping[str, int]

    def collect(self, ctx: RoundContext, body: Message) -> Collected:
        """Let the cohort train, sum its frames, and open the sum; see `Exchange.collect`."""
        metered = Metered(self.fabric)
        inbox = Inbox(ctx.round, {}, self.listener, guarantee=self.plan.guarantee)
        for _ in inbox.updates(metered.gather(ctx.cohort, "train", body, self._timeout_s)):
            pass  # the frames follow
        trained = tuple(inbox.accepted)
        check_quorum(self.plan, ctx, trained, inbox.failed)
        weights = self._weights({site: self.examples[site] for site in ctx.cohort})
        summation = Summation(
            self.plan,
            metered,
            self.scheme,
            self.roster,
            self.num_values,
            ctx.round,
            weights,
            self._timeout_s,
            examples=self.examples,
        )
        summation.failed |= inbox.failed
        if self.plan.groups is None:
            groups = self._opened(ctx, summation, trained)
        else:
            groups = self._grouped(ctx, summation, trained, self.plan.groups)
        sites = tuple(sorted(site for group in groups.values() for site in group.sites))
        check_quorum(self.plan, ctx, sites, summation.failed)
        upload_bytes = self.scheme.upload_bytes(self.num_values)
        accepted = {
            site: {
                **inbox.accepted[site],
                "bytes": upload_bytes,
                "digest": group.digests[site],
                "weight": weights[site],
                "attempt": group.attempt,
            }
            for group in groups.values()
            for site in group.sites
        }
        accepted = {site: accepted[site] for site in sites}
        return Collected(
            sites,
            accepted,
            summation.failed,
            metered.bytes_down,
            metered.bytes_up,
            tuple(summation.events),
            groups={number: group.sites for number, group in groups.items()},
            spent=inbox.spent,
        )

    def _opened(self, ctx: RoundContext, summation: Summation, sites: Sequence[str]) -> dict[int, GroupSum]:
        """Open the sum of all; if it is void, of disjoint groups of two sites or more, until the bad ones are alone."""
        opened: dict[int, GroupSum] = {}
        number = 0
        waiting = [list(sites)]
        while waiting:
            asked = waiting.pop(0)
            whole = len(asked) == len(sites)
            try:
                group = summation.group(asked, self._quorum(ctx) if whole else self._least, not whole)
            except QuorumLost as lost:
                if whole:
                    raise
                summation.failed |= dict.fromkeys(asked, f"its group was lost: {lost}")
                continue
            reason = self.opener.open(ctx, number, group)
            if not reason:
                opened[number] = group
            else:
                summation.events.append(f"the sum of {', '.join(group.sites)} was void: {reason}")
                waiting += self._halves(group.sites, reason, summation.failed)
            number += 1
        return opened

    def _grouped(
        self, ctx: RoundContext, summation: Summation, sites: Sequence[str], groups: Groups
    ) -> dict[int, GroupSum]:
        """Open the sum of each group that is large enough and whose sum is one that honest sites can make."""
        opened: dict[int, GroupSum] = {}
        for number, dealt in enumerate(groups.deal(ctx)):
            asked = [site for site in dealt if site in sites]
            of_group = summation.among(dealt)
            try:
                group = of_group.group(asked, groups.size)
                void = self.opener.open(ctx, number, group)
                reason = f"it is in a group whose sum was void: {void}" if void else ""
            except QuorumLost as lost:
                reason = f"its group was lost: {lost}"
            summation.failed |= {**dict.fromkeys(asked if reason else (), reason), **of_group.failed}
            if not reason:
                opened[number] = group
        return opened

    def _halves(self, sites: Sequence[str], reason: str, failed: dict[str, str]) -> list[list[str]]:
        middle, masks = len(sites) // 2, self.plan.pipeline.masks
        if middle < self._least or (masks and not masks.bisect):
            failed |= dict.fromkeys(sites, f"it is in a group whose sum was void: {reason}")
            return []
        return [list(sites[:middle]), list(sites[middle:])]

    def _weights(self, examples: Mapping[str, int]) -> dict[str, int]:
        if self.plan.aggregator.weighting == "uniform":
            return dict.fromkeys(examples, 1)
        return integer_weights(examples, self.scheme.weight_total)

    def _quorum(self, ctx: RoundContext) -> int:
        masks = self.plan.pipeline.masks
        return max(self._least, masks.least_sites if masks else 0, quorum_of(self.plan, ctx))

    @property
    def _least(self) -> int:
        return 2 if self.plan.pipeline.needs_keys else 1

    @property
    def _timeout_s(self) -> float | None:
        return self.plan.timeout_s or None


def quorum_of(plan: Plan, ctx: RoundContext) -> int:
    """Return the good updates that a round needs: the plan's quorum, and what the aggregator cannot do without."""
    return max(plan.quorum or len(ctx.cohort) // 2 + 1, plan.aggregator.combiner.least_updates)


def check_quorum(plan: Plan, ctx: RoundContext, sites: Sequence[str], failed: Mapping[str, str]) -> None:
    """Refuse a round with too few good updates.

    Raises:
        QuorumLost: there are fewer than the plan's quorum.
    """
    quorum = quorum_of(plan, ctx)
    if len(sites) < quorum:
        reasons = "; ".join(f"{site}: {reason}" for site, reason in failed.items())
        raise QuorumLost(
            f"round {ctx.round} had {len(sites)} good updates, its quorum is {quorum} ({reasons}): "
            "mend the sites and go on with --resume"
        )
