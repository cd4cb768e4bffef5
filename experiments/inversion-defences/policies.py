"""The search for policies of ATS, on validation images of each data set."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from settings import POLICIES

from wardround.algorithms.defences.ats import written
from wardround.algorithms.defences.policy_search import candidates, searched
from wardround.data.sites import SiteData
from wardround.rounds.plan import Plan
from wardround.study.attacker import public_images
from wardround.study.build import task_of
from wardround.tasks.inputs import to_input

COUNT, KEPT, IMAGES, SEED = 150, 3, 16, 99


def search(grounds: Mapping[str, tuple[Plan, dict[str, SiteData]]]) -> None:
    """Write the best policies of each data set to policies.json."""
    found = {}
    for name, (plan, sites) in grounds.items():
        task, public = task_of(plan, sites), public_images(sites)
        rows = np.random.default_rng(SEED).permutation(len(public))[:IMAGES]
        inputs, labels = to_input(public.batch(rows)), torch.from_numpy(public.labels[rows])
        best = searched(candidates(COUNT, SEED), task.build(SEED), inputs, labels, KEPT, SEED)
        found[name] = "+".join(written(one.policy) for one in best)
        print("policies", name, best, flush=True)
    POLICIES.write_text(json.dumps(found, indent=2) + "\n")
