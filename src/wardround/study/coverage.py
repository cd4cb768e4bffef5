"""What leaves the sites of a plan, and what of it a claim of (epsilon, delta) covers."""

from __future__ import annotations

import math
from collections import Counter

from wardround.algorithms import Local, VRex
from wardround.privacy import epsilon_of
from wardround.rounds.plan import Plan
from wardround.study.cut_words import AT_THE_CUT

REPORTED = (
    "training losses",
    "numbers of examples",
    "classes held",
    "training times",
    "who took part",
    "test results",
)
"""What sites tell the coordinator beside updates, without noise."""


def covered(plan: Plan) -> list[str]:
    """Return what left the sites under the plan's claim; nothing without one."""
    stage = plan.pipeline.noise
    if plan.privacy is None or isinstance(plan.algorithm, Local):
        return []
    if stage is not None and stage.is_central:
        return ["models, but to the coordinator"]
    if stage is not None and stage.is_discrete:
        return ["noisy sums of updates", "models"]
    return ["noisy updates", "noisy sums of updates", "models"]


def not_covered(plan: Plan) -> list[str]:
    """Return what left the sites without noise."""
    if plan.composed().pooled:
        return ["all images and labels: they lie in one place"]
    crosses = [AT_THE_CUT] if plan.split else []
    shared = plan.evaluation.shares_predictions(plan.data.source.public)
    looks = ["looks of test images"] if shared else []
    return [*crosses, *_of_updates(plan), *_beside_updates(plan), *REPORTED, *looks]


def _of_updates(plan: Plan) -> list[str]:
    pipeline = plan.pipeline
    if isinstance(plan.algorithm, Local):
        return []
    left = ["weights and cut shares"] if pipeline.sums_frames else []
    stage = pipeline.noise
    if plan.privacy is not None and not (stage is not None and stage.is_central):
        return left
    if pipeline.opens_at_sites:
        return ["sums of updates, to the sites", *left]
    if plan.privacy is not None and not pipeline.masks:
        left = ["digests of updates", *left]
    return ["sums of updates" if pipeline.masks else "updates", *left]


def _beside_updates(plan: Plan) -> list[str]:
    votes = ["votes on weights"] if plan.algorithm.work.votes else []
    return [*votes, *(["the mean training loss, to the sites"] if isinstance(plan.algorithm, VRex) else [])]


def claim(plan: Plan) -> list[str]:
    """Return the plan's claim in words: what it hides, how well, from whom, and what it leaves out."""
    if plan.privacy is None or plan.guarantee is None:
        return ["(epsilon, delta) covers nothing: the plan claims none, and no noise is added."]
    spent = Counter(plan.guarantee.events_of_round() * plan.rounds)
    epsilon = epsilon_of(spent, plan.privacy.delta)
    shown = f"{epsilon:.4g}" if math.isfinite(epsilon) else "without bound"
    lines = [
        f"(epsilon, delta) = ({shown}, {plan.privacy.delta:g}) for each {plan.privacy.unit}, when all rounds are done:",
        f"  noise         {plan.guarantee.multiplier:.4g} times what one {plan.privacy.unit} can move,",
        f"                {_who(plan)}",
        f"  covers        {', '.join(covered(plan))}",
        f"  covers not    {', '.join(not_covered(plan))}",
    ]
    if plan.privacy.is_seeded:
        lines.append('  only for      who does not know the seed: noise follows from it (randomness = "seed")')
    return lines


def _who(plan: Plan) -> str:
    stage, masks = plan.pipeline.noise, plan.pipeline.masks
    if stage is None:
        return f"added by each site in each of its {plan.training.steps} steps a round"
    if stage.is_central:
        return "added once to the sum by the coordinator, which sees it without"
    if stage.is_discrete and masks is not None:
        return (
            f"added in shares, {masks.threshold} of which suffice: while so many sites of a round add theirs and keep "
            "them to themselves"
        )
    return "added by each site to its update"
