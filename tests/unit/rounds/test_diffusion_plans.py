"""Which plans a diffusion model runs under, and what each that it does not is told."""

from __future__ import annotations

from typing import Any

import pytest

from wardround.errors import PlanError
from wardround.rounds.plan import Plan
from wardround.study.spec import parse

TABLE: dict[str, Any] = {"name": "made", "task": {"name": "synthesis"}, "model": {"name": "diffusion"}}
PRIVATE: dict[str, Any] = {
    "privacy": {"unit": "image", "epsilon": 8.0, "delta": 1e-5},
    "aggregator": {"weighting": "uniform"},
}


def plan(**changes: Any) -> Plan:
    return parse({**TABLE, **changes})


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "scaffold", "and_mask", "fedgma", "vrex", "central"])
def test_one_plain_loss_is_trained_by_every_algorithm_that_shares_all_of_it(name: str) -> None:
    assert type(plan(algorithm={"name": name}).algorithm).__name__.lower() == name.replace("_", "")


def test_dpsgd_bounds_what_one_image_does_to_it() -> None:
    found = plan(algorithm={"name": "dpsgd", "expected_units": 8.0}, training={"steps": 2}, **PRIVATE)
    assert found.algorithm.work.bounds_records


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": {"name": "fedgan"}}, "diffusion is one: choose fedavg, or the model dcgan"),
        *(
            ({"algorithm": {"name": name}}, "made for the classes of whole images")
            for name in ("fedsr", "irm", "logit_adjusted")
        ),
        *(
            ({"algorithm": {"name": name}}, "gives each site weights of its own")
            for name in ("fedbn", "fedrep", "ditto", "local")
        ),
        ({"algorithm": {"name": "fedavg", "personal": "norms"}}, "gives each site weights of its own"),
        ({"training": {"parts": "norms"}}, "no head to train alone"),
        ({"training": {"augment": "dihedral+colour"}}, "changes the grey levels that diffusion learns"),
        ({"defence": {"name": "gaussian_images"}}, "made for classifiers"),
        ({"algorithm": {"name": "splitfed_v1"}, "split": {}}, "cannot be cut"),
        ({"task": {"name": "classification"}}, "one answer for each sample"),
    ],
)
def test_what_could_not_work_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        plan(**changes)


def test_a_gan_is_told_of_the_model_that_a_plain_algorithm_can_train() -> None:
    with pytest.raises(PlanError, match="choose the algorithm fedgan, or the model diffusion"):
        plan(model={"name": "dcgan"})
