"""The coordinator measures updates and trains on images of its own, and screens are given what it finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rigged import Memory

from wardround.core.update import Tensors, applied
from wardround.data.sites import SiteData
from wardround.errors import PlanError
from wardround.fabric.local import LocalFabric
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.plan import Plan
from wardround.rounds.probing import Probing
from wardround.rounds.workbench import Workbench
from wardround.study.build import opener_for
from wardround.study.spec import parse

FLIP = {"kind": "label_flip", "sites": ["north"], "source": "dark", "target": "light"}
PROBED = {"share": 0.1}


def probing(plan: Plan) -> Probing:
    bench = Workbench(plan.learns.task(plan.model, 3, tiny.CLASSES), plan.seed)
    return Probing(bench, tiny.images(40, seed=7), plan.composed().local)


def test_right_labels_do_no_harm_and_swapped_ones_do() -> None:
    plan = tiny.plan(training={"steps": 10, "batch_size": 8, "learning_rate": 0.02}, model={"dropout": 0.0})
    found = probing(plan)
    swapped = replace(found, images=replace(found.images, labels=1 - found.images.labels))
    weights = found.bench.shared(plan.composed())
    probe = found.probe(tiny.context(), weights)
    right, wrong = probe.taught(), swapped.probe(tiny.context(), weights).taught()
    good, bad = (list(probe.harms(change).values()) for change in (right, wrong))
    assert sum(harm.size for harm in good) < 0 < sum(harm.size for harm in bad)
    assert any(harm.size > 2 * harm.deviation for harm in bad)


def test_what_it_is_taught_is_an_update_of_the_right_form_and_measuring_changes_nothing() -> None:
    plan = tiny.plan()
    found = probing(plan)
    weights = found.bench.shared(plan.composed())
    probe = found.probe(tiny.context(), weights)
    taught = probe.taught()
    assert {n: (v.shape, v.dtype) for n, v in taught.items()} == {n: (v.shape, v.dtype) for n, v in weights.items()}
    first, again = probe.harms(taught), found.probe(tiny.context(), weights).harms(taught)
    assert first == again
    assert any(np.abs(applied(weights, taught)[name] - value).max() > 0 for name, value in weights.items())


@pytest.mark.parametrize("screen", ["fltrust", "e_detector"])
def test_a_run_gives_the_screen_its_probe(tmp_path: Path, screen: str) -> None:
    plan = tiny.plan(screen=[{"name": screen}], probe=PROBED, attack=[FLIP])
    journal = Memory()
    Coordinator(plan, tiny.fabric(plan, tmp_path), journal, probe=tiny.images(20, seed=7)).run()
    for record in journal.records:
        assert set(record.judged) == set(tiny.NAMES)
        assert all(said["evidence"] for said in record.judged.values())


def generative(**changes: Any) -> Plan:
    """Return a plan of a generator with images of the coordinator's own, 16 pixels wide."""
    return parse(
        {
            "name": "made",
            "rounds": 2,
            "model": {"name": "dcgan", "size_px": 16, "width": 4, "latent": 4},
            "task": {"name": "synthesis"},
            "algorithm": {"name": "fedgan"},
            "training": {"steps": 2, "batch_size": 4, "optimiser": "adamw"},
            "evaluation": {"every": 0, "bootstrap": 0},
            "probe": PROBED,
            **changes,
        }
    )


def generating(plan: Plan) -> tuple[Probing, Tensors]:
    bench = Workbench(plan.learns.task(plan.model, 3, tiny.CLASSES), plan.seed)
    own = bench.shared(plan.composed())
    return Probing(bench, tiny.masked(20, seed=7), plan.composed().local), own


def test_images_of_a_round_differ_by_the_change_alone() -> None:
    found, weights = generating(generative(screen=[{"name": "generator_e_detector"}]))
    probe = found.probe(tiny.context(), weights)
    still = {name: np.zeros_like(value) for name, value in weights.items()}
    first, again = probe.made(still, 3), probe.made(still, 3)
    assert first.images.shape == (6, 16 * 16 * 3)
    assert first.labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(first.images, again.images)
    lighter = {**still, "net/generator.last.bias": np.full(3, 0.2, np.float32)}
    assert (probe.made(lighter, 3).images > first.images).mean() > 0.9
    later = found.probe(tiny.context(1), weights).made(still, 3)
    assert not np.allclose(first.images, later.images)
    real = probe.real()
    assert real.images.shape == (20, 16 * 16 * 3)
    np.testing.assert_allclose(real.images[3], found.images.batch(np.array([3])).reshape(-1) / 255)


@pytest.mark.parametrize("screen", ["fltrust", "generator_e_detector"])
def test_a_generator_that_travels_whole_is_measured_though_discriminators_stay(tmp_path: Path, screen: str) -> None:
    plan = generative(screen=[{"name": screen}])
    journal = Memory()
    sites = {name: SiteData(*[tiny.masked(12, name)] * 3) for name in tiny.NAMES}
    fabric = LocalFabric(tuple(sites), opener_for(plan, sites, tmp_path))
    Coordinator(plan, fabric, journal, probe=tiny.masked(20, seed=7)).run()
    assert len(journal.records) == plan.rounds
    for record in journal.records:
        assert set(record.judged) == set(tiny.NAMES)
        assert all(said["evidence"] for said in record.judged.values())


def test_weights_that_stay_at_the_sites_cannot_be_measured(tmp_path: Path) -> None:
    plan = tiny.plan(screen=[{"name": "e_detector"}], probe=PROBED, algorithm={"name": "fedavg", "personal": "head"})
    with pytest.raises(PlanError, match="no weights that stay at the sites: leave it out"):
        Coordinator(plan, tiny.fabric(plan, tmp_path), Memory(), probe=tiny.images(20, seed=7)).run()


def test_without_images_the_run_does_not_begin(tmp_path: Path) -> None:
    plan = tiny.plan(screen=[{"name": "e_detector"}], probe=PROBED)
    with pytest.raises(PlanError, match="needs images at the coordinator, and it was given none"):
        Coordinator(plan, tiny.fabric(plan, tmp_path), Memory()).run()
