"""Whether the generator that a simulation trained makes the triggers of its malicious sites."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from wardround.attacks.poison import ImageTrigger
from wardround.core.context import derive_seed
from wardround.core.update import Tensors
from wardround.data.sites import SiteData
from wardround.metrics.marks import departure, measured_mark
from wardround.rounds.plan import Plan
from wardround.study.build import joined
from wardround.tasks import Synthesis
from wardround.tasks.classification import load_weights

DEPARTURE_FILE = "departure.safetensors"


def marks_left(
    plan: Plan, sites: Mapping[str, SiteData], task: Any, weights: Tensors
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return, for each trigger on images in the plan, how strongly synthetic images bear it; and where they do.

    As many images are made as all sites have for test, of the same classes, and held against those. What one half of
    the real images scores against the other half is given beside it.

    Args:
        plan: of the run.
        sites: all sites with their images.
        task: that was learned.
        weights: of the trained model, ``net/…`` and ``stat/…``.

    Returns:
        What ``summary.json`` says under ``marks``; and, where the images are published, ``departure`` of the synthetic
        ones (see there), for the report's map. Both are empty where the plan has no such trigger.
    """
    triggers = [attack for attack in plan.attacks or () if isinstance(attack, ImageTrigger)]
    held = [data.test for data in sites.values() if len(data.test)]
    if not (triggers and held and weights and isinstance(task, Synthesis)):
        return [], {}
    images = joined(held)
    network = task.build(plan.seed)
    load_weights(network, weights)
    made = task.draw(network, images.labels, np.random.default_rng(derive_seed(plan.seed, "marks")))
    real = images.batch(slice(None))
    found = []
    for trigger in triggers:
        mark = trigger.mark(*images.shape)
        sought, control = measured_mark(mark, made, real), measured_mark(mark, real[::2], real[1::2])
        found.append(
            {
                "kind": trigger.name,
                "sites": list(trigger.sites),
                "images": len(made),
                "strength": sought.strength,
                "share": sought.share,
                "corner_distance": sought.corner_distance,
                "real": {
                    "strength": control.strength,
                    "share": control.share,
                    "corner_distance": control.corner_distance,
                },
            }
        )
    # The mean of a few images nearly shows one, and a run folder may be published.
    return found, {"departure": departure(made, real)} if images.public else {}
