"""A defence from the plan's text to an attack on its updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from wardround.algorithms.defences import DEFENCES
from wardround.algorithms.local_sgd import LocalSgd
from wardround.errors import PlanError
from wardround.rounds.plan import Plan
from wardround.study.attack import Assault, attack
from wardround.study.explain import explain
from wardround.study.spec import parse, to_table


def leaky(**changes: Any) -> Plan:
    """Return a plan whose network gives images away."""
    table: dict[str, Any] = {
        "name": "leaky",
        "data": {"stride_px": 16},
        "model": {"name": "flat_cnn", "activation": "tanh"},
        "training": {"steps": 1, "batch_size": 1, "learning_rate": 1.0, "precision": "float32"},
        "evaluation": {"every": 0, "bootstrap": 0},
    }
    return parse({**table, **changes})


@pytest.mark.parametrize("name", [name for name in DEFENCES if name != "none"])
def test_a_defence_goes_to_text_and_back_and_reaches_the_local_work(name: str) -> None:
    plan = tiny.plan(defence={"name": name})
    assert parse(to_table(plan)) == plan
    assert plan.digest() != tiny.plan().digest()
    local = plan.composed().local
    assert isinstance(local, LocalSgd)
    assert type(local.defence) is DEFENCES[name]
    assert f"defence   {name}" in explain(plan)
    assert "no (epsilon, delta)" in explain(plan)


def test_none_is_a_plan_without_one() -> None:
    assert tiny.plan(defence={"name": "none"}) == tiny.plan()
    assert "defence" not in to_table(tiny.plan())
    assert "defence" not in explain(tiny.plan())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"defence": {"name": "sotera"}}, "did you mean 'soteria'"),
        ({"defence": {"name": "pruning", "shares": 0.5}}, "did you mean 'share'"),
        ({"algorithm": {"name": "ditto"}}, "Ditto does more at a site"),
        ({"algorithm": {"name": "and_mask"}}, "AndMask does more at a site"),
        ({"algorithm": {"name": "central"}}, "sends no update"),
        ({"algorithm": {"name": "local"}}, "sends no update"),
        ({"training": {"parts": "head"}}, "features of each image are computed once"),
    ],
)
def test_mixtures_that_would_protect_nothing_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        tiny.plan(**{"defence": {"name": "matched_noise"}, **changes})


def test_tasks_that_the_attacks_do_not_undo_are_refused() -> None:
    with pytest.raises(PlanError, match="made for classifiers"):
        tiny.segmenting(defence={"name": "pruning"})


def test_differential_privacy_and_cuts_are_refused_beside_it() -> None:
    with pytest.raises(PlanError, match="bounds every attack already"):
        tiny.private("each step at each site", defence={"name": "gaussian_update"})
    cut = {"split": {"depth": 1}, "algorithm": {"name": "splitfed_v1"}, "defence": {"name": "pruning"}}
    with pytest.raises(PlanError, match="this one is cut"):
        tiny.segmenting(**cut)


def test_what_is_attacked_is_the_defended_update_and_without_the_defence_the_image_is_there(tmp_path: Path) -> None:
    """The positive control: the same image and seed, rebuilt without, hidden with."""
    assault = Assault(updates=1, steps=100)
    bare = attack(leaky(), assault, tmp_path / "bare").attacked[0].leaks[0]
    result = attack(leaky(defence={"name": "pruning", "share": 0.99}), assault, tmp_path / "hidden")
    hidden = result.attacked[0].leaks[0]
    assert hidden.true.tobytes() == bare.true.tobytes()
    assert bare.is_recognisable
    assert bare.of_best.psnr_db > hidden.of_best.psnr_db + 5
    assert "Defence: pruning (share = 0.99)" in result.setting[1]
