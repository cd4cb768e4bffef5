"""What the attacks of a simulation came to, measured on the trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wardround.algorithms.parts import freeze, frozen_weights
from wardround.attacks.poison import Aimed
from wardround.core.update import Tensors
from wardround.data.sites import SiteData
from wardround.rounds.plan import Plan
from wardround.study.build import joined
from wardround.tasks.classification import Classification, load_weights


def successes(plan: Plan, sites: Mapping[str, SiteData], task: Any, weights: Tensors) -> list[dict[str, Any]]:
    """Return, for each attack of the plan that has victims, which share of them the model takes for its target.

    The victims are test images of the honest sites. Attacks on updates alone have none: they spoil accuracy.

    Args:
        plan: of the run.
        sites: all sites with their images.
        task: that was learned.
        weights: of the trained model, ``net/…`` and ``stat/…``.
    """
    culprits = {site for attack in plan.attacks or () for site in attack.sites}
    honest = [data.test for site, data in sites.items() if site not in culprits and len(data.test)]
    if not (honest and weights and isinstance(task, Classification)):
        return []
    images = joined(honest)
    network = task.build(plan.seed)
    freeze(network, frozen_weights(network, plan.training.parts))
    load_weights(network, weights)
    found = []
    for attack in plan.attacks or ():
        if isinstance(attack, Aimed):
            trial = attack.trial(images)
            said = {"kind": attack.name, "sites": list(attack.sites), "victims": len(trial.images)}
            found.append({**said, "success": trial.success(task, network)})
    return found
