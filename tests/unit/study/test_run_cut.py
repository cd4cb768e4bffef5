"""Runs over a cut network, from a plan's text to a run folder that is used as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from jsonschema import validate

from wardround.core.update import Tensors
from wardround.study.folder import RunFolder
from wardround.study.predict import loaded
from wardround.study.run import train
from wardround.study.spec import parse
from wardround.tasks.classification import by_slot, weights_of

SCHEMA = json.loads((Path(__file__).parents[3] / "src/wardround/study/summary.schema.json").read_text())


def trained(folder: Path, algorithm: str, **changes: Any) -> tuple[RunFolder, Tensors]:
    """Train in this process, and return the folder and its model file's arrays."""
    plan = parse(
        {
            "name": "cut",
            "rounds": 1,
            "data": {"stride_px": 16},
            "task": {"name": "segmentation"},
            "model": {"name": "unet", "widths": [4, 8]},
            "algorithm": {"name": algorithm},
            "split": {"wire": "int8"},
            "training": {"steps": 2, "batch_size": 4},
            "evaluation": {"every": 0, "bootstrap": 0},
            **changes,
        }
    )
    path = train(plan, folder, workers=0)
    return RunFolder(path), safetensors.numpy.load((path / "model.safetensors").read_bytes())


def test_the_run_folder_holds_the_whole_network_and_what_crossed(tmp_path: Path) -> None:
    folder, weights = trained(tmp_path / "run", "interleaved")
    summary = folder.summary()
    validate(summary, SCHEMA)
    crossed = summary["split"]
    assert crossed["steps"] == 2 * len(summary["sites"])
    assert crossed["bytes_per_step"] == sum(crossed["bytes"].values()) / crossed["steps"] > 0
    _, network = loaded(folder, folder.plan(), None)
    found = by_slot(weights_of(network))
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value)


def test_a_site_s_own_head_and_tail_come_from_its_store(tmp_path: Path) -> None:
    folder, _ = trained(tmp_path / "run", "splitfed_v3")
    one, other = (
        by_slot(weights_of(loaded(folder, folder.plan(), site)[1])) for site in sorted(folder.summary()["sites"])[:2]
    )
    assert np.array_equal(one["down.1.0.weight"], other["down.1.0.weight"]), "the body is one for all"
    assert not np.array_equal(one["down.0.0.weight"], other["down.0.0.weight"])


@pytest.mark.parametrize("algorithm", ["interleaved"])
def test_a_sealed_run_s_model_is_whole(tmp_path: Path, algorithm: str) -> None:
    stages = [{"stage": "clip"}, {"stage": "quantise"}, {"stage": "masks"}, {"stage": "homomorphic"}]
    folder, weights = trained(tmp_path / "run", algorithm, protect=stages)
    _, network = loaded(folder, folder.plan(), None)
    assert by_slot(weights_of(network)).keys() == weights.keys()
