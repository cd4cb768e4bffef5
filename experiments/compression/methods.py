"""The plans that are compared: the federated headline's, shortened, with other stages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

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
ROUNDS = 120
"""Half of the headline's: 12 passes over the images instead of 24, for every method, the plain one too."""
SEARCH_SEED = 1
TAU = 0.01

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


SEARCH: Mapping[str, Pipeline] = {
    "plain": Pipeline(),
    "topk-0.005": topk(0.005),
    "topk-0.01": topk(0.01),
    "topk-0.02": topk(0.02),
    "topk-0.035": topk(0.035),
    "randomk-0.03": randomk(0.03),
    "randomk-0.07": randomk(0.07),
    "sealed-randomk-0.12": sealed(0.12),
}
"""What was tried on the validation part, with a seed that is not among the compared."""


def plan_of(pipeline: Pipeline, seed: int) -> Plan:
    """Return the federated plan of the headline with other stages and half the rounds."""
    plan = load(FEDERATED / "federated.toml")
    looks = replace(plan.evaluation, every=ROUNDS // 3)
    return replace(plan, name="compression", pipeline=pipeline, seed=seed, rounds=ROUNDS, evaluation=looks)


def run(pipeline: Pipeline, seed: int, folder: Path) -> None:
    """Train one plan on one core, unless it is done."""
    train(plan_of(pipeline, seed), folder, Path(os.environ["WARDROUND_DATA"]), resume=True, workers=0)
