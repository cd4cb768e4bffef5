"""Accepted mixtures as whole runs: sites train, and the model is held against the plain reference."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import mixtures
import numpy as np
import safetensors.numpy
import tiny
from rigged import run

from wardround.core.codec import decode
from wardround.core.update import Tensors
from wardround.privacy import Privacy
from wardround.protect.pipeline import Pipeline, Stage
from wardround.protect.quantise import Quantise
from wardround.rounds.plan import Plan
from wardround.tasks.classification import by_slot

EXAMPLES = dict(tiny.SIZES)
MULTIPLIER = 0.01
STAGES: dict[str, Stage] = {**mixtures.STAGES, "q": Quantise(16, floor=4.0)}
"""With a range that no tiny update leaves: a value that is cut is told, and no rounding error."""


def plan_of(word: str, aggregator: str, screen: str) -> Plan:
    """Return a plan of one round; what trains is the same in all."""
    noisy = not mixtures.NOISES.isdisjoint(word)
    return replace(
        tiny.plan(rounds=1),
        privacy=Privacy("site", 1e-3, noise_multiplier=MULTIPLIER, randomness="seed") if noisy else None,
        pipeline=Pipeline(tuple(STAGES[letter] for letter in word)),
        aggregator=mixtures.AGGREGATORS[aggregator],
        screens=mixtures.SCREENS[screen],
    )


@cache
def raw(folder: Path) -> dict[str, Tensors]:
    """Return what each site learns in the first round, as it sends it without any stage."""
    _, _, fabric = run(plan_of("", "mean", "no screen"), folder)
    return {site: decode(frame).tensors for op, site, frame in fabric.wire if op == "train" and site != "coordinator"}


def held_against_reference(word: str, aggregator: str, screen: str, folder: Path) -> None:
    """Run a plan over tiny sites and hold its model against the reference.

    Raises:
        AssertionError: a weight is further off than rounding explains.
    """
    plan = plan_of(word, aggregator, screen)
    plan.check(len(tiny.NAMES))
    updates = raw(folder / "raw")
    initial = tiny.make_bench(plan).initial
    scale = plan.guarantee.scale if plan.guarantee else None
    expected = mixtures.expected(
        plan.pipeline.stages, plan.aggregator, plan.screens, updates, {}, EXAMPLES, initial, tiny.context(), scale
    )
    # The noise of whoever opens the sum is no part of the reference.
    luck = mixtures.LUCK * MULTIPLIER * 0.5 / len(tiny.NAMES) * 1.5 if "z" in word else 0.0
    result, _, _ = run(plan, folder / f"{word}-{aggregator}-{screen}".replace(" ", "-"))
    weights = by_slot(result.weights) or opened(folder / f"{word}-{aggregator}-{screen}".replace(" ", "-"))
    for name, value in initial.items():
        off = np.abs(weights[name.partition("/")[2]] - value - expected.mean[name]) - expected.tolerance[name]
        assert (off <= 1e-6 + luck).all(), (word, aggregator, screen, name, float(off.max()))


def opened(folder: Path) -> Tensors:
    """Return the model that the sites wrote, where the coordinator is blind, under the network's own names."""
    found: Tensors = safetensors.numpy.load((folder / tiny.NAMES[0] / "model.safetensors").read_bytes())
    return found
