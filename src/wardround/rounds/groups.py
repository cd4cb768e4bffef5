"""How the sites of a round are dealt to groups, each with a sum of its own, and what many such sums give away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wardround.checker import Grouping
from wardround.core.context import RoundContext
from wardround.errors import PlanError, SiteError

SMALLEST_GROUP = 2


@dataclass(frozen=True)
class Groups:
    """The ``[groups]`` table: masks cancel within a group, so that the coordinator learns each group's sum.

    The plan's seed deals, so that no coordinator chooses who is with whom, and every site can deal for itself. It needs
    to know the round's cohort for it, which the coordinator draws.

    Attributes:
        size: sites in a group at least, 2 or more; what does not fill a group makes others one larger.
        regroup: whether every round deals anew. Where it does not, members of a group are never told apart, neither by
            a screen nor by whoever adds up many rounds.
    """

    size: int = 2
    regroup: bool = True

    def __post_init__(self) -> None:
        if self.size < SMALLEST_GROUP:
            raise PlanError(f"groups size = {self.size} is below {SMALLEST_GROUP}: the sum of one site is its update")

    @property
    def grouping(self) -> Grouping:
        """The groups as rules see them."""
        return Grouping(self.size, self.regroup)

    def deal(self, ctx: RoundContext) -> tuple[tuple[str, ...], ...]:
        """Return the groups of a round, disjoint, each sorted; fewer sites than two groups hold are one group."""
        dealt = replace(ctx, site=None, round=ctx.round if self.regroup else 0).rng("groups")
        order = dealt.permutation(len(ctx.cohort))
        parts = np.array_split(order, self.grouping.count(len(order)))
        named = np.array(sorted(ctx.cohort), object)
        return tuple(sorted(tuple(sorted(named[part])) for part in parts))

    def of(self, ctx: RoundContext, site: str) -> tuple[str, ...]:
        """Return the group of a site of the cohort."""
        return next(group for group in self.deal(ctx) if site in group)


@dataclass(frozen=True)
class Company:
    """With whom one site lets itself be summed.

    Attributes:
        groups: of the plan.
        seed: of the plan.
        rounds: of the plan.
        site: the site.
    """

    groups: Groups
    seed: int
    rounds: int
    site: str

    def require(self, round_index: int, cohort: Sequence[str], asked: Sequence[str]) -> None:
        """Refuse to be summed with others than those whom the plan deals to this site's group.

        Args:
            round_index: from 0.
            cohort: of the round, as this site was told when it trained.
            asked: whose masks are to cancel: the group, or what is left of it.

        Raises:
            SiteError: somebody else is among them, or too few are left.
        """
        ctx = RoundContext(self.seed, round_index, self.rounds, tuple(cohort), len(cohort))
        own = self.groups.of(ctx, self.site)
        if not set(asked) <= set(own) or self.site not in asked:
            raise SiteError(
                f"the plan deals {', '.join(own)} to the group of this site in round {round_index}, and it is asked to "
                f"be summed with {', '.join(asked)}"
            )
        if len(asked) < self.groups.size:
            raise SiteError(
                f"there are {len(asked)} of a group left in round {round_index}, and the plan's groups have "
                f"{self.groups.size} or more"
            )


@dataclass(frozen=True)
class Exposure:
    """What the coordinator can work out about what hardly changes in a site's updates from one round to the next.

    Every group's sum is an equation in its members' updates. If these were the same in every round, enough groups would
    give each of them away.

    Attributes:
        solved_after: rounds after which the sums determine every site's part; ``None`` where they never do.
        worth: once all rounds are over, as how many rounds of the site's bare updates the estimate of its part is
            worth, for the site that is worst off; 0 where it is not determined.
    """

    solved_after: int | None
    worth: float

    @classmethod
    def of(cls, groups: Groups, seed: int, sites: Sequence[str], rounds: int) -> Exposure:
        """Work it out for a run in which all of `sites` are asked in every round, and none is lost.

        The estimate is that of least squares; a site's updates are its lasting part and noise, equal at all sites and
        independent from round to round, and group sums weigh sites equally.
        """
        names = tuple(sorted(sites))
        places = {site: place for place, site in enumerate(names)}
        seen, solved_after = np.zeros((len(names), len(names))), None
        for index in range(rounds):
            for group in groups.deal(RoundContext(seed, index, rounds, names, len(names))):
                held = [places[site] for site in group]
                # A sum of n updates is n times as noisy as one, in variance.
                seen[np.ix_(held, held)] += 1 / len(held)
            if solved_after is None and np.linalg.matrix_rank(seen) == len(names):
                solved_after = index + 1
        worth = float(1 / np.diag(np.linalg.inv(seen)).min()) if solved_after is not None else 0.0
        return cls(solved_after, worth)
