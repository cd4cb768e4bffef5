"""The plans that are compared: the federated headline's, shortened, with other stages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from wardround.algorithms.server import ServerSgd
from wardround.protect.clip import Clip
from wardround.protect.int8 import Int8
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.sparsify import RandomK, TopK
from wardround.rounds.plan import Plan
from wardround.study.run import train
from wardround.study.spec import load

HERE = Path(__file__).parent
FEDERATED = HERE.parent / "ham10000-federated"
SEARCH_SEED = 1

SEAL = (Quantise(16), Masks(), Homomorphic())


def topk(fraction: float, feedback: bool = True) -> Pipeline:
    """Return the largest coordinates, in one byte each."""
    return Pipeline((TopK(fraction, feedback), Int8(feedback)))


def randomk(fraction: float) -> Pipeline:
    """Return coordinates that the seed chooses, in one byte each."""
    return Pipeline((RandomK(fraction), Int8()))


def sealed(fraction: float) -> Pipeline:
    """Return coordinates that the seed chooses, in a sum that nobody reads; the default clip."""
    return Pipeline((RandomK(fraction), Clip(10.0), *SEAL))


def plan_of(
    pipeline: Pipeline, seed: int = SEARCH_SEED, momentum: float = 0.5, parts: int = 1, merged: int = 1
) -> Plan:
    """Return the federated plan of the headline with other stages.

    Args:
        pipeline: the stages.
        seed: of the run.
        momentum: of the server; the headline has 0.5.
        parts: 2 takes half of the headline's 24 passes over the images.
        merged: rounds that are made one, of as many times the local work.
    """
    plan = load(FEDERATED / "federated.toml")
    rounds = plan.rounds // parts // merged
    return replace(
        plan,
        name="compression",
        pipeline=pipeline,
        seed=seed,
        rounds=rounds,
        training=replace(plan.training, epochs=plan.training.epochs * merged),
        server=ServerSgd(momentum=momentum),
        evaluation=replace(plan.evaluation, every=rounds // 3),
    )


def half(pipeline: Pipeline, momentum: float = 0.5, merged: int = 1) -> Plan:
    """Return a plan of 12 passes, for the search."""
    return plan_of(pipeline, momentum=momentum, parts=2, merged=merged)


SEARCH: Mapping[str, Plan] = {
    "half-plain": half(Pipeline()),
    "half-topk-0.005": half(topk(0.005)),
    "half-topk-0.01": half(topk(0.01)),
    "half-topk-0.02": half(topk(0.02)),
    "half-topk-0.035": half(topk(0.035)),
    "half-randomk-0.03": half(randomk(0.03)),
    "half-randomk-0.07": half(randomk(0.07)),
    "half-sealed-randomk-0.12": half(sealed(0.12)),
    "half-topk-0.035-momentum-0": half(topk(0.035), momentum=0.0),
    "half-topk-0.035-momentum-0.8": half(topk(0.035), momentum=0.8),
    "half-topk-0.035-unfed-int8": half(Pipeline((TopK(0.035), Int8(feedback=False)))),
    "half-topk-0.07-merged": half(topk(0.07), merged=2),
    "plain": plan_of(Pipeline()),
    "topk-0.02": plan_of(topk(0.02)),
    "topk-0.035": plan_of(topk(0.035)),
    "sealed-randomk-0.12": plan_of(sealed(0.12)),
    "sealed-randomk-0.36": plan_of(sealed(0.36)),
}
"""What was tried on the validation part, with a seed that is not among the compared."""


def run(plan: Plan, folder: Path) -> None:
    """Train one plan on one core, unless it is done."""
    train(plan, folder, Path(os.environ["WARDROUND_DATA"]), resume=True, workers=0)
