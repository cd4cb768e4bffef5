"""What each rule about the sites of a round prevents; every test first sees the rule refuse the plan."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from rigged import run

from wardround.errors import PlanError, QuorumLost, WireError
from wardround.ledger.quorum import quorum
from wardround.protect import shamir
from wardround.protect.attempt import default_threshold
from wardround.protect.packing import Layout
from wardround.protect.quantise import Quantise

Lift = Callable[..., None]
LOCAL = {"name": "local"}


def test_quorum_beyond_cohort(tmp_path: Path, lift: Lift) -> None:
    """Every site trains and answers, and the round is thrown away, for ever."""
    plan = tiny.plan(sites_per_round=2, quorum=3)
    lift("quorum-beyond-cohort", plan)
    with pytest.raises(QuorumLost, match="had 2 good updates, its quorum is 3"):
        run(plan, tmp_path)


def test_drawn_yardstick(tmp_path: Path, lift: Lift) -> None:
    """Sites that were not drawn train less than those that were, so that they are no yardstick for each other."""
    plan = tiny.plan(algorithm=LOCAL, sites_per_round=2, rounds=4)
    lift("drawn-yardstick", plan)
    _, journal, _ = run(plan, tmp_path)
    trained = {site: sum(site in record.accepted for record in journal.records) for site in tiny.NAMES}
    assert len(set(trained.values())) > 1


def test_averaged_nothing(tmp_path: Path, lift: Lift) -> None:
    """The plan says that an average is evaluated; there is none, and nothing changes."""
    plan = tiny.plan(algorithm=LOCAL, average_decay=0.9)
    lift("averaged-nothing", plan)
    averaged, journal, _ = run(plan, tmp_path / "averaged")
    assert journal.state == {}
    plain = run(tiny.plan(algorithm=LOCAL), tmp_path / "plain")[0]
    assert averaged.test.pooled.metrics == plain.test.pooled.metrics


def test_protected_yardstick(tmp_path: Path, lift: Lift) -> None:
    """A clip that would leave nothing of an update changes nothing: there is no update."""
    plan = tiny.plan(algorithm=LOCAL, protect=[{"stage": "clip", "norm": 1e-9}])
    lift("protected-yardstick", plan)
    clipped, plain = run(plan, tmp_path / "clipped")[0], run(tiny.plan(algorithm=LOCAL), tmp_path / "plain")[0]
    assert clipped.test.pooled.metrics == plain.test.pooled.metrics


def test_missing_sites(tmp_path: Path, lift: Lift) -> None:
    """The first draw fails in the middle of a run, without a word of what to do."""
    plan = tiny.plan(sites_per_round=4)
    plan.check()
    lift("missing-sites", plan, 3)
    with pytest.raises(ValueError, match="larger sample than population"):
        run(plan, tmp_path)


def test_sum_of_one(lift: Lift) -> None:
    """What opens is the site's update itself, number by number."""
    plan = tiny.plan(sites_per_round=1, protect=tiny.PIPELINES["quantised"] + [tiny.PACKED])
    lift("sum-of-one", plan)
    grid = Quantise(16).grid({"net/a": np.ones(9, np.float32)})
    change = {"net/a": np.linspace(-0.9, 0.9, 9)}
    total = grid.decode(grid.encode(change, np.random.default_rng(0))[0])
    np.testing.assert_allclose(total["net/a"], change["net/a"], atol=grid.steps["net/a"])


def test_cosigned_alone(lift: Lift) -> None:
    """A ledger that one site alone signs is complete whatever that site writes: no fork of it can be told apart."""
    plan = tiny.plan(ledger={"cosign": "sites"})
    lift("cosigned-alone", plan, 1)

    def both_final(sites: int) -> bool:
        """One site signs two histories; the others, which are honest, are shown one of them each."""
        honest = sites - 1
        shown = honest // 2, honest - honest // 2
        return all(1 + others >= quorum(sites) for others in shown)

    assert both_final(1)
    assert not any(both_final(sites) for sites in range(2, 50))


def test_indivisible_weights(lift: Lift) -> None:
    """Three sites in fields made for two: what one field cannot hold falls into the next."""
    plan = tiny.plan(protect=[{"stage": "quantise", "bits": 4, "weight_total": 2}])
    lift("indivisible-weights", plan, 3)
    layout = Layout(4, 2, 2)
    words = layout.pack(np.array([layout.largest] * layout.values_per_chunk))
    field = np.uint64(2**layout.field_bits - 1)

    def first_field(sites: int) -> set[int]:
        return set(((words * np.uint64(sites)) & field).tolist())

    shifted = layout.largest + 2 ** (layout.bits - 1)
    assert first_field(2) == {2 * shifted}
    assert first_field(3) == {3 * shifted - 2**layout.field_bits}


def test_least_sites_beyond_cohort(tmp_path: Path, lift: Lift) -> None:
    """Every site trains, and none lets itself be summed."""
    stages = [tiny.CLIP, tiny.QUANTISE, {"stage": "masks", "least_sites": 4}]
    plan = tiny.plan(protect=stages)
    lift("least-sites-beyond-cohort", plan, 3)
    with pytest.raises(QuorumLost):
        run(plan, tmp_path)


def test_mask_threshold(lift: Lift) -> None:
    """With half of the sites two disjoint halves get the same secret: one list says it is lost, the other it is not.

    One half then gives the key of a site's pairwise masks, the other its own mask: together they uncover its update.
    """
    plan = tiny.plan(protect=[tiny.QUANTISE, {"stage": "masks", "threshold": 2}])
    lift("mask-threshold", plan, 4)
    secret = os.urandom(32)
    shares = dict(enumerate(shamir.split(secret, 2, 4), 1))
    assert shamir.combine({1: shares[1], 2: shares[2]}, 2) == shamir.combine({3: shares[3], 4: shares[4]}, 2) == secret
    shares = dict(enumerate(shamir.split(secret, 3, 4), 1))
    halves = itertools.combinations(shares, 2)
    for half in halves:
        with pytest.raises(WireError, match="do not give back a secret"):
            shamir.combine({index: shares[index] for index in half}, 3)


def test_too_many_masked(lift: Lift) -> None:
    """The secrets cannot be shared among so many; that would show in the first round, after all had trained."""
    plan = tiny.plan(protect=[{"stage": "quantise", "weight_total": 999}, tiny.MASKS])
    lift("too-many-masked", plan, 256)
    with pytest.raises(ValueError, match="256 shares"):
        shamir.split(os.urandom(32), 129, 256)
    with pytest.raises(PlanError, match="not 256"):
        default_threshold(256)


def test_too_few_updates(tmp_path: Path, lift: Lift) -> None:
    """Of three updates two at either end are left out: nothing is left, for ever."""
    plan = tiny.plan(aggregator={"name": "trimmed_mean", "trim": 2})
    lift("too-few-updates", plan, 3)
    with pytest.raises(QuorumLost, match="its quorum is 5"):
        run(plan, tmp_path)
