"""What a task makes is the same, byte for byte, on every engine of one machine, and by site where pooled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import parse

SHORT: dict[str, Any] = {
    "rounds": 2,
    "data": {"source": "slide", "stride_px": 16},
    "training": {"steps": 2, "batch_size": 8, "augment": "dihedral"},
    "evaluation": {"every": 2, "bootstrap": 20},
}
TASKS = {
    "segmentation": tiny.SEGMENT,
    "restoration": {
        **tiny.RESTORE,
        "task": {
            "name": "restoration",
            "degradation": [{"by": "ct", "sites": ["north-east"], "views": 8}, {"by": "photon_noise"}],
        },
    },
    "synthesis": {
        "data": {"source": "slide", "stride_px": 16, "size_px": 16},
        "task": {"name": "synthesis"},
        "model": {"name": "dcgan", "size_px": 16, "width": 4, "latent": 4},
        "algorithm": {"name": "fedgan", "gradient_penalty": 1.0, "penalty_every": 2},
        "training": {"steps": 2, "batch_size": 8, "optimiser": "adamw", "augment": "shift"},
    },
    "diffusion": {
        "data": {"source": "slide", "stride_px": 16, "size_px": 16},
        "task": {"name": "synthesis"},
        "model": {"name": "diffusion", "size_px": 16, "width": 12, "steps": 3},
        "training": {"steps": 2, "batch_size": 8, "optimiser": "adamw"},
    },
}
CENTRAL = {"name": "central"}
POOLED = {
    **dict.fromkeys(("segmentation", "restoration", "diffusion"), CENTRAL),
    "synthesis": {"name": "fedgan", "pooled": True},
}
SAME = ("metrics", "intervals", "tested", "model_sha256", "plan_digest")
"""Bytes up differ by the digits of seconds in the sites' answers."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))


def assert_same(run: Path, here: Path) -> None:
    made = sorted(path.name for path in here.glob("*.safetensors"))
    assert len(made) == 3  # model, predictions, and pictures or synthetic images
    for file in made:
        assert (run / file).read_bytes() == (here / file).read_bytes(), file
    found, expected = RunFolder(run).summary(), RunFolder(here).summary()
    assert {key: found[key] for key in SAME} == {key: expected[key] for key in SAME}


@pytest.mark.parametrize("name", TASKS)
def test_the_wire_changes_nothing(name: str, tmp_path: Path) -> None:
    plan = parse({"name": name, **SHORT, **TASKS[name]})
    here = train(plan, tmp_path / "here", workers=0)
    assert_same(train(plan, tmp_path / "encoded", workers=0, encoded=True), here)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_worker_processes_agree(name: str, tmp_path: Path) -> None:
    plan = parse({"name": name, **SHORT, **TASKS[name]})
    here = train(plan, tmp_path / "here", workers=0)
    assert_same(train(plan, tmp_path / "workers", workers=2), here)


@pytest.mark.parametrize("name", TASKS)
def test_pooled_images_are_tested_by_the_site_that_they_come_from(name: str, tmp_path: Path) -> None:
    table = {
        "name": name,
        **SHORT,
        **TASKS[name],
        "training": {**TASKS[name].get("training", {}), "steps": 1, "learning_rate": 1e-12},
    }
    apart = RunFolder(train(parse(table), tmp_path / "apart", workers=0)).summary()
    central = parse({**table, "algorithm": POOLED[name]})
    pooled = RunFolder(train(central, tmp_path / "pooled", workers=0)).summary()
    # Both hardly move from the same first weights, so that they differ by where images lie alone.
    assert pooled["metrics"]["sites"].keys() == apart["metrics"]["sites"].keys()
    for site, metrics in apart["metrics"]["sites"].items():
        for metric, value in metrics.items():
            assert pooled["metrics"]["sites"][site][metric] == (
                None if value is None else pytest.approx(value, rel=1e-4)
            )
    assert list(pooled["sites"]) == ["central"]
