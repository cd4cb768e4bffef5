"""What a plan that sums groups gives away, and to whom its screens look, in words."""

from __future__ import annotations

from wardround.checker import View
from wardround.rounds.groups import Exposure, Groups
from wardround.rounds.plan import Plan

_EXAMPLE = 4
"""Groups in the example that stands for a federation whose number of sites nobody knows yet."""


def in_groups(plan: Plan, groups: Groups) -> list[str]:
    """Return what a plan gives up on either side where masks cancel within groups."""
    judges = " and ".join(judge.name for judge in plan.mixture().judges if judge.needs is View.EACH)
    return [
        f"  privacy       no single update is read; each hides in the sum of {groups.size} sites or more",
        f"  robustness    the mean of each group is judged by {judges}: a site is seen through its group alone, and",
        "                groups are spoilt more often than sites are malicious",
        *_over_rounds(plan, groups),
        "  instead       without [groups] each site hides among all of a round, and nobody can judge; without masks",
        "                each update can be judged",
    ]


def _over_rounds(plan: Plan, groups: Groups) -> list[str]:
    if not groups.regroup:
        return [
            "  many rounds   the groups stay as they are: neither a screen nor whoever adds up rounds ever tells two",
            "                members of one apart",
        ]
    known = plan.sites_per_round or getattr(plan.data.sites, "sites", 0)
    count = known or _EXAMPLE * groups.size
    told = Exposure.of(groups, plan.seed, [f"{place:05d}" for place in range(count)], plan.rounds)
    sites = f"{count} sites, none lost" if known else f"{count} sites, say, and none lost"
    lines = [
        "  many rounds   the groups change: what lasts in a site's updates (its mix of labels, say) can be worked out"
    ]
    if told.solved_after is None:
        return [*lines, f"                of enough of them; {plan.rounds} rounds are not enough ({sites})"]
    updates = f"{told.worth:.1f} of its updates in the clear"
    return [
        *lines,
        f"                from round {told.solved_after} on, and in the end as well as from {updates}",
        f"                ({sites}); what it learned in one round alone stays in the sum of its group",
    ]
