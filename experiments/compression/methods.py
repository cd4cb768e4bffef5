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
from wardround.protect.sparsify import RandomK, Threshold, TopK
from wardround.rounds.plan import Plan
from wardround.study.run import train
from wardround.study.spec import load

HERE = Path(__file__).parent
FEDERATED = HERE.parent / "ham10000-federated"
ROUNDS = 120
"""Half of the headline's: 12 passes over the images instead of 24, for every method, the plain one too."""
SEARCH_SEED = 1
TAU = 0.01
"""The published constant."""

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


def plan_of(pipeline: Pipeline, seed: int = SEARCH_SEED, momentum: float = 0.5, merged: int = 1) -> Plan:
    """Return the federated plan of the headline with other stages and half the passes.

    Args:
        pipeline: the stages.
        seed: of the run.
        momentum: of the server; the headline has 0.5.
        merged: rounds that are made one, of as many times the local work.
    """
    plan = load(FEDERATED / "federated.toml")
    rounds = ROUNDS // merged
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


SEARCH: Mapping[str, Plan] = {
    "plain": plan_of(Pipeline()),
    "topk-0.005": plan_of(topk(0.005)),
    "topk-0.01": plan_of(topk(0.01)),
    "topk-0.02": plan_of(topk(0.02)),
    "topk-0.035": plan_of(topk(0.035)),
    "randomk-0.03": plan_of(randomk(0.03)),
    "randomk-0.07": plan_of(randomk(0.07)),
    "sealed-randomk-0.12": plan_of(sealed(0.12)),
    "topk-0.035-momentum-0": plan_of(topk(0.035), momentum=0.0),
    "topk-0.07-merged": plan_of(topk(0.07), merged=2),
    "topk-0.035-unfed-int8": plan_of(Pipeline((TopK(0.035), Int8(feedback=False)))),
    "topk-0.035-momentum-0.8": plan_of(topk(0.035), momentum=0.8),
    "sealed-randomk-0.36": plan_of(sealed(0.36)),
    "topk-0.02-unfed": plan_of(topk(0.02, feedback=False)),
}
"""What was tried on the validation part, with a seed that is not among the compared."""

METHODS: Mapping[str, Pipeline] = {
    "plain": Pipeline(),
    "topk 2%, int8": topk(0.02),
    "published threshold": Pipeline((Threshold(TAU, feedback=False),)),
    "randomk 36%, 16 bits": Pipeline((RandomK(0.36), Clip(10.0), Quantise(16))),
}
"""What is compared on the test part: the best of the search that takes a fiftieth of the bytes or less, the published
rule, and what survives a sum that nobody reads (masks and encryption change no bit of it, and take most of the time:
they are left out here)."""


def run(plan: Plan, folder: Path) -> None:
    """Train one plan on one core, unless it is done."""
    train(plan, folder, Path(os.environ["WARDROUND_DATA"]), resume=True, workers=0)
