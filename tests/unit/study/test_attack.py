"""An attack on a plan, from its text to its numbers: over the wire, with and without protections."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wardround.errors import PlanError, RunFolderError
from wardround.rounds.plan import Plan
from wardround.study.attack import RESULT_FILE, Assault, Attacked, attack
from wardround.study.build import sites_of
from wardround.study.spec import parse

MASKED = [{"stage": "clip", "norm": 10.0}, {"stage": "quantise", "bits": 16}, {"stage": "masks"}]


def plan(**changes: Any) -> Plan:
    """Return a plan whose network gives images away: 16 px of the embedded slide."""
    return parse(
        {
            "name": "tiny",
            "rounds": 2,
            "data": {"stride_px": 16},
            "model": {"name": "flat_cnn", "activation": "tanh"},
            "training": {"steps": 2, "batch_size": 4, "learning_rate": 1.0, "precision": "float32"},
            "evaluation": {"every": 0, "bootstrap": 0},
            **changes,
        }
    )


def test_one_step_on_one_image_gives_it_away(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    result = attack(
        plan(),
        Assault(updates=1, steps=100),
        tmp_path / "out",
        tell=lambda number, total, _: told.append((number, total)),
    )
    assert told == [(1, 1)]
    for one in result.attacked:
        (leak,) = one.leaks
        assert leak.is_recognisable
        assert leak.rank == 1
        assert leak.of_best.psnr_db > leak.of_mean.psnr_db + 8
    said = json.loads((tmp_path / "out" / RESULT_FILE).read_text())
    assert [update["images"] for update in said["updates"]] == [1]
    assert said["updates"][0]["leaks"][0]["of_best"]["psnr_db"] > 20
    assert "one site's update at a time, made of 1 images in 1 local steps" in result.setting[0]


def test_the_images_that_are_scored_are_those_that_were_trained_on(tmp_path: Path) -> None:
    made = plan()
    result = attack(made, Assault(images=2, updates=1, seconds=0.01), tmp_path / "out")
    site = result.attacked[0].sighting.sites[0]
    train = sites_of(made, None)[site].train
    pixels = {one.tobytes() for one in train.batch(np.arange(len(train)))}
    assert all(np.round(leak.true * 255).astype(np.uint8).tobytes() in pixels for leak in result.attacked[0].leaks)


def test_the_work_of_the_plan_is_left_as_it_is_on_demand(tmp_path: Path) -> None:
    (one,) = attack(plan(), Assault(images=0, updates=1, seconds=0.01), tmp_path / "out").attacked
    assert (one.sighting.seen.work.steps, one.sighting.seen.num_images) == (2, 8)
    assert one.sighting.seen.work.learning_rate == 1.0


def test_masks_leave_the_sum(tmp_path: Path) -> None:
    made = plan(protect=MASKED, open_at="coordinator")
    result = attack(made, Assault(updates=1, seconds=0.5), tmp_path / "out")
    (one,) = result.attacked
    assert len(one.sighting.sites) == 4
    assert len(one.leaks) == 4
    assert sum(one.sighting.seen.shares) == pytest.approx(1)
    assert "the sum of 4 sites' updates" in result.setting[0]


def test_after_training_the_trained_network_is_attacked(tmp_path: Path) -> None:
    fresh = attack(plan(), Assault(updates=1, seconds=0.01), tmp_path / "fresh")
    later = attack(plan(), Assault(after=1, updates=1, seconds=0.01), tmp_path / "later", workers=0)
    assert (tmp_path / "later" / "trained" / "model.safetensors").exists()
    weights = [dict(run.attacked[0].sighting.seen.network.named_parameters())["0.weight"] for run in (fresh, later)]
    assert not weights[0].equal(weights[1])
    assert "after 1 rounds of training" in later.setting[0]


@pytest.mark.parametrize(
    ("changes", "assault", "said"),
    [
        ({"protect": [*MASKED, {"stage": "homomorphic"}]}, Assault(), "neither weights nor updates"),
        ({"protect": [*MASKED, {"stage": "homomorphic"}]}, Assault(after=1), "stays at the sites"),
        ({"training": {"optimiser": "adamw", "learning_rate": 0.01}}, Assault(images=0), "worst case"),
        ({"training": {"steps": 40, "batch_size": 4, "learning_rate": 0.1}}, Assault(images=0), "says nothing about"),
    ],
)
def test_what_cannot_be_attacked_is_refused_with_a_way_out(
    tmp_path: Path, changes: dict[str, Any], assault: Assault, said: str
) -> None:
    with pytest.raises(PlanError, match=said):
        attack(plan(**changes), replace(assault, updates=1, seconds=0.01), tmp_path / "out", workers=0)


def test_a_stopped_attack_goes_on_where_it_was(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    done: list[bytes] = []

    def stop(number: int, total: int, one: Attacked) -> None:
        done.append(one.found.images.tobytes())
        raise Stopped

    job = Assault(updates=2, steps=2, after=1)
    with pytest.raises(Stopped):
        attack(plan(), job, tmp_path / "out", workers=0, tell=stop)
    (kept,) = (tmp_path / "out" / "done").iterdir()
    written = kept.stat().st_mtime_ns
    with pytest.raises(RunFolderError, match="another attack"):
        attack(plan(), replace(job, seed=2), tmp_path / "out", resume=True)
    assert kept.stat().st_mtime_ns == written
    first, second = attack(plan(), job, tmp_path / "out", workers=0, resume=True).attacked
    assert first.found.images.tobytes() == done[0] != second.found.images.tobytes()
    assert second.found.evaluations > 0
    assert not kept.exists()
    with pytest.raises(RunFolderError, match="is done"):
        attack(plan(), job, tmp_path / "out", resume=True)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(RunFolderError, match="name another folder"):
        attack(plan(), Assault(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_unknown_attacks_and_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(PlanError, match="inverting-gradients"):
        Assault(attack="magic")
    with pytest.raises(PlanError, match="--updates"):
        Assault(updates=0)
