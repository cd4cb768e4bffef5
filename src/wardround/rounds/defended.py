"""Where a plan's defence reaches the local work, and the plans in which it could not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wardround.algorithms import Algorithm, DpSgd, LocalSgd
from wardround.algorithms.defences import Defence
from wardround.errors import PlanError
from wardround.tasks import Classify

if TYPE_CHECKING:
    from wardround.rounds.plan import Plan


def defended(algorithm: Algorithm, defence: Defence | None) -> Algorithm:
    """Return the algorithm with a defence in its local work, which `refuse_unfit` has looked at."""
    local = algorithm.local
    if defence is None or not isinstance(local, LocalSgd):
        return algorithm
    return dataclasses.replace(algorithm, local=dataclasses.replace(local, defence=defence))


def refuse_unfit(plan: Plan) -> None:
    """Refuse a plan whose defence would protect nothing, or spoil what else it claims.

    Raises:
        PlanError: with the way out.
    """
    if plan.defence is None:
        return
    name = type(plan.algorithm).__name__
    if plan.split is not None:
        raise PlanError("[defence] is made for updates of a whole network, and this one is cut: remove one of them")
    if isinstance(plan.algorithm, DpSgd) or plan.privacy is not None:
        raise PlanError(
            "[defence] changes what [privacy] accounts for, and its (epsilon, delta) bounds every attack already: "
            "remove [defence]"
        )
    if plan.learns.name != Classify.name:
        raise PlanError("[defence] is made for classifiers, whose updates the attacks undo: remove it")
    if plan.defence.disguises and plan.trains_on_features:
        raise PlanError(
            "this [defence] changes images, and here features of each image are computed once: train all parts, or "
            "choose one that changes the update"
        )
    if not plan.algorithm.work.shares or plan.algorithm.work.pooled:
        raise PlanError(f"{name} sends no update, so that [defence] would cost and protect nothing: remove it")
    if not isinstance(plan.algorithm.compose(plan.training, plan.server).local, LocalSgd):
        raise PlanError(f"{name} does more at a site than [defence] reaches: choose fedavg, fedprox or scaffold")
