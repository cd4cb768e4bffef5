"""What each rule around a claim of (epsilon, delta) prevents; every test first sees the rule refuse the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rigged
import tiny

from wardround.algorithms.augment import unchanged
from wardround.algorithms.unit_gradients import UnitGradients
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.privacy import Privacy
from wardround.protect.int8 import Int8
from wardround.protect.outgoing import outgoing
from wardround.protect.pipeline import Pipeline
from wardround.protect.sparsify import RandomK
from wardround.rounds.plan import Plan

Lift = Callable[..., None]
OWN = {"stage": "noise"}
CENTRAL = {"stage": "noise", "at": "coordinator"}
SHARES = "shares under masks"
UNIFORM_SITE = {"unit": "site", "delta": 1e-3, "noise_multiplier": 2.0, "randomness": "seed"}


def with_stages(plan: Plan, *tables: dict[str, Any]) -> Plan:
    return replace(plan, pipeline=tiny.plan(protect=list(tables)).pipeline)


def norm(tensors: Tensors) -> float:
    return float(np.sqrt(sum(np.sum(np.square(value, dtype=np.float64)) for value in tensors.values())))


def test_noise_without_claim(tmp_path: Path, lift: Lift) -> None:
    """Nobody says how much noise: none is added, and the run says nothing of epsilon."""
    plan = replace(tiny.private("site, each update"), privacy=None)
    lift("noise-without-claim", plan)
    plain = rigged.run(with_stages(plan, tiny.CLIP), tmp_path / "plain")[1]
    named = rigged.run(plan, tmp_path / "named")[1]
    assert named.records[-1].privacy is None
    assert all((named.state[n] == plain.state[n]).all() for n in plain.state)  # type: ignore[index, union-attr]


def test_other_unit(lift: Lift) -> None:
    """With the clip of one image, a whole site moves its sum as many times as far as it has images."""
    plan = tiny.private("each step at each site")
    claimed = replace(plan, privacy=Privacy("site", 1e-3, noise_multiplier=2.0, randomness="seed"))
    lift("other-unit", claimed)
    images, task = tiny.images(12), tiny.task()
    whole, _ = UnitGradients(task, 0.05, unchanged).clipped_sum(task.build(0), images, np.arange(12))
    assert norm({name: value.numpy() for name, value in whole.items()}) > 3 * 0.05


def test_noise_twice(tmp_path: Path, lift: Lift) -> None:
    """Two noises are two events: the run costs more than it was calibrated to."""
    plan = with_stages(tiny.private("each step at each site"), OWN)
    once = tiny.private("each step at each site")
    lift("noise-twice", plan)
    monitored = rigged.run(once, tmp_path / "once")[1].records[-1].privacy
    assert once.guarantee is not None
    assert len(once.guarantee.events_of_round()) == 2
    with pytest.raises(Exception, match="not the plan's 2"):
        rigged.run(plan, tmp_path / "twice")
    assert monitored is not None


def test_opener_knows_noise(tmp_path: Path, lift: Lift) -> None:
    """The sites open the sum, and no noise is in it."""
    stages = [tiny.CLIP, CENTRAL, tiny.QUANTISE, tiny.PACKED]
    plan = with_stages(tiny.private("site, the coordinator's"), *stages)
    lift("opener-knows-noise", plan)
    silent = replace(with_stages(plan, *stages[:1], *stages[2:]), privacy=None)
    digests = [
        rigged.run(one, tmp_path / str(index))[1].records[-1].state_digest for index, one in enumerate((plan, silent))
    ]
    assert digests[0] == digests[1]


def test_shares_without_threshold(lift: Lift) -> None:
    """Were the shares made for all three sites, one that is lost would take its share of the noise along."""
    plan = tiny.private(SHARES)
    silent = with_stages(plan, *tiny.SEALED[:3], {"stage": "masks"})
    lift("shares-without-threshold", silent)
    grid = plan.grid(tiny.make_bench(plan).initial, tiny.context())
    whole = replace(grid, shares=3)  # type: ignore[type-var]
    left = 2 * whole.variance  # type: ignore[union-attr]
    needed = (2.0 * whole._distance(whole.step)) ** 2  # type: ignore[union-attr]
    assert left < 0.7 * needed
    assert 2 * grid.variance >= needed  # type: ignore[union-attr]


def test_shares_bisected(lift: Lift) -> None:
    """Half a void sum of four is opened with two shares, made for three."""
    plan = tiny.private(SHARES)
    masks = {"stage": "masks", "threshold": 3, "bisect": True}
    lift("shares-bisected", with_stages(plan, *tiny.SEALED[:3], masks))
    grid = replace(plan.grid(tiny.make_bench(plan).initial, tiny.context()), shares=3)  # type: ignore[type-var]
    assert 2 * grid.variance < 0.7 * (2.0 * grid._distance(grid.step)) ** 2  # type: ignore[union-attr]


def test_shares_without_range(lift: Lift) -> None:
    """Without a bound there is no step with which sums fit: the sites could not even begin."""
    plan = with_stages(tiny.private(SHARES), *tiny.SEALED[1:])
    lift("shares-without-range", plan)
    with pytest.raises(PlanError, match="needs clip"):
        plan.grid(tiny.make_bench(plan).initial, tiny.context())


def test_sum_for_central_noise(lift: Lift) -> None:
    """One site of norm 1 moves three times the median of three by 3: noise made for a distance of 1 does not hide it."""
    plan = replace(
        tiny.private("site, the coordinator's"), aggregator=tiny.plan(aggregator={"name": "median"}).aggregator
    )
    lift("sum-for-central-noise", plan)
    far = np.full(16, 0.25)  # norm 1
    with_it = np.median([far, -far, far], axis=0)
    without = np.median([far, -far, np.zeros(16)], axis=0)
    assert 3 * np.linalg.norm(with_it - without) >= 3


def test_codes_before_noise(lift: Lift) -> None:
    """A record of norm 1 changes the step of a whole update, and with it every value, by more than 1 together."""
    lift(
        "codes-before-noise",
        with_stages(tiny.private("site, the coordinator's"), tiny.CLIP, CENTRAL, {"stage": "int8"}),
    )
    pipeline = Pipeline((Int8(feedback=False),))
    base = {"net/a": np.full(4096, 0.5, np.float32)}
    more = {"net/a": base["net/a"].copy()}
    more["net/a"][0] = 200.0  # what one unclipped unit can do, and a clipped one in proportion
    sums = [_read(pipeline, change) for change in (base, more)]
    assert np.linalg.norm((sums[0] - sums[1])[1:]) > 10
    assert np.linalg.norm((base["net/a"] - more["net/a"])[1:]) == 0


def _read(pipeline: Pipeline, change: Tensors) -> np.ndarray:
    from wardround.protect.outgoing import incoming

    ctx = RoundContext(1, 0, 1, ("a",), 1, "a")
    compact = pipeline.compact(change, ctx)
    assert compact is not None
    return incoming(compact, outgoing(pipeline, change, {}, ctx).wire)["net/a"]


def test_feedback_before_noise(lift: Lift) -> None:
    """A record that was drawn once comes back in rounds in which nobody was drawn."""
    plan = tiny.private("each update")
    lift("feedback-before-noise", with_stages(plan, {"stage": "randomk", "fraction": 0.3}, OWN))
    pipeline = Pipeline((RandomK(0.3),))
    change = {"net/a": np.ones(100, np.float32)}
    memory: Tensors = {}
    returned = []
    for index in range(3):
        ctx = RoundContext(1, index, 3, ("a",), 1, "a")
        left = outgoing(pipeline, change if index == 0 else {"net/a": np.zeros(100, np.float32)}, memory, ctx)
        memory = dict(left.residual)
        returned.append(float(np.abs(left.tensors["net/a"]).sum()))
    assert returned[1] > 0
    assert returned[2] > 0


def test_steps_by_count(lift: Lift) -> None:
    """One image more, and the site takes one step more: the number of steps is in the clear."""
    plan = replace(
        tiny.private("each step at each site"), training=tiny.plan(training={"momentum": 0.0, "steps": 0}).training
    )
    lift("steps-by-count", plan)
    assert plan.training.num_steps(10) != plan.training.num_steps(11)


def test_a_claim_that_keeps_every_rule_goes_through() -> None:
    """The control of them all: none of these plans is refused."""
    for name in tiny.PRIVATE:
        tiny.private(name).check(3)
