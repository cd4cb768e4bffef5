"""The how-to on fixed features: its plans train."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from wardround.errors import PlanError
from wardround.study.explain import explain
from wardround.study.folder import RunFolder
from wardround.study.predict import predict
from wardround.study.run import train
from wardround.study.spec import parse
from wardround.tasks.classification import by_slot, weights_of
from wardround.tasks.models import SmallCnn

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "train-on-fixed-features.md"
SHORT = {"rounds": 2, "data": {"stride_px": 16}, "evaluation": {"every": 0, "bootstrap": 0}}


def plans() -> list[dict[str, Any]]:
    """Return the plans of the page."""
    return [tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)]


def test_scattering_trains_and_predicts(tmp_path: Path) -> None:
    table, _ = plans()
    run = train(parse({**table, **SHORT}), tmp_path / "run", workers=0)
    model = safetensors.numpy.load_file(run / "model.safetensors")
    assert set(model) == {"head.weight", "head.bias"}
    assert model["head.weight"].shape == (2, 45)
    assert model["head.weight"].any()
    from PIL import Image

    Image.new("RGB", (16, 16), (250, 240, 250)).save(tmp_path / "patch.png")
    [found] = predict(run, [tmp_path / "patch.png"])
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_supplied_weights_train_a_head_alone(tmp_path: Path) -> None:
    _, table = plans()
    content = safetensors.numpy.save(by_slot(weights_of(SmallCnn().build(3, 2))))
    (tmp_path / "body.safetensors").write_bytes(content)
    table["start"]["sha256"] = hashlib.sha256(content).hexdigest()
    plan = parse({**table, **SHORT})
    said = next(line for line in explain(plan).splitlines() if line.startswith("trains"))
    assert "head alone" in said
    assert "body.safetensors" in said
    run = train(plan, tmp_path / "run", tmp_path, workers=0)
    head_bytes = 4 * (96 * 2 + 2)
    sent = RunFolder(run).summary()["bytes"]["up"]
    assert sent < 2 * 4 * (head_bytes + 2000), "more than heads and their framing travelled"
    body = safetensors.numpy.load_file(run / "model.safetensors")["1.weight"]
    assert (body == safetensors.numpy.load(content)["1.weight"]).all()


def test_augmentation_is_refused_as_the_page_says() -> None:
    for table in plans():
        table["training"]["augment"] = "flip"
        table.get("start", {})["sha256"] = "0" * 64
        with pytest.raises(PlanError, match="augment"):
            parse(table)
