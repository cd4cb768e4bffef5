"""The how-tos on tasks, and the plans that init writes for them: they train, and say what is true."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wardround.cli.init import TEMPLATES
from wardround.metrics.measures import measures_of
from wardround.study.explain import explain
from wardround.study.folder import RunFolder
from wardround.study.predict_images import predict_images
from wardround.study.run import train
from wardround.study.spec import parse

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
SHORT: dict[str, Any] = {"rounds": 1, "evaluation": {"every": 0, "bootstrap": 0}}
STEPS = {"epochs": 1.0, "steps": 2, "batch_size": 4}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))


def plan_of(page: str) -> dict[str, Any]:
    [text] = re.findall(r"```toml\n(.*?)```", (HOW_TO / page).read_text(), re.DOTALL)
    return tomllib.loads(text)


def template(task: str) -> dict[str, Any]:
    return tomllib.loads((files("wardround.study") / TEMPLATES[task]).read_text())


def metrics_on(page: str) -> set[str]:
    section = (HOW_TO / page).read_text().split("## What is measured")[1].split("\n## ")[0]
    return {name for line in section.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line)}


@pytest.mark.parametrize(
    ("page", "task"),
    [("segment.md", "segmentation"), ("restore.md", "restoration"), ("synthesise.md", "synthesis")],
)
def test_every_metric_is_explained_and_no_other(page: str, task: str) -> None:
    found = metrics_on(page)
    assert set(measures_of(task).bounds) == found & set(measures_of(task).bounds)
    assert found <= set(measures_of(task).bounds)


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("segmentation", {"stride_px": 32}),
        ("restoration", {"images": 24, "size_px": 24}),
        ("synthesis", {"stride_px": 32}),
    ],
)
def test_what_init_writes_trains(task: str, data: dict[str, Any], tmp_path: Path) -> None:
    table = template(task)
    assert "learns    " + task in explain(parse(table))
    quick = {**table, **SHORT, "data": {**table["data"], **data}, "training": {**table["training"], **STEPS}}
    run = train(parse(quick), tmp_path / "run", workers=0)
    assert RunFolder(run).summary()["status"] == "done"


def test_the_scans_of_the_page_train_and_predict(tmp_path: Path) -> None:
    table = plan_of("restore.md")
    table["data"] |= {"images": 16, "size_px": 24}
    table["model"]["width"] = 4
    table["task"]["degradation"][1]["views"] = 8
    run = train(parse({**table, **SHORT, "training": {**table["training"], **STEPS}}), tmp_path / "run", workers=0)
    Image.new("L", (30, 20), 80).save(tmp_path / "scan.png")
    [found] = predict_images(run, [tmp_path / "scan.png"], tmp_path / "restored")
    assert found.answer.name == "scan-restored.png"
    assert Image.open(found.answer).size == (24, 24)


def test_the_lesions_of_the_page_train_and_predict(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = ["image,mask,site,lesion_id,label"]
    for part in ("images", "masks"):
        (tmp_path / "ham10000" / part).mkdir(parents=True)
    for number in range(24):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(
            tmp_path / "ham10000" / "images" / f"{number}.png"
        )
        Image.fromarray(np.tri(20, 30, 9, dtype=np.uint8) * 255).save(tmp_path / "ham10000" / "masks" / f"{number}.png")
        lines.append(f"images/{number}.png,masks/{number}.png,{('a', 'b')[number % 2]},{number},nv")
    (tmp_path / "ham10000" / "metadata.csv").write_text("\n".join(lines))
    table = plan_of("segment.md")
    table["data"] |= {"size_px": 16}
    run = train(
        parse({**table, **SHORT, "training": {**table["training"], **STEPS}}), tmp_path / "run", tmp_path, workers=0
    )
    metrics = RunFolder(run).summary()["metrics"]["pooled"]
    assert metrics["hd95_px"] is not None
    assert metrics["hd95_mm"] is None
    [found] = predict_images(run, [tmp_path / "ham10000" / "images" / "3.png"], tmp_path / "masks")
    assert Image.open(found.answer).size == (30, 20)


def test_features_from_elsewhere_are_compared_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (HOW_TO / "synthesise.md").read_text(), re.DOTALL)
    real = np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32)
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "made.npy", real + np.float32(2))  # the same cloud elsewhere: 2² in each of 6 directions
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "synthesise.md", "exec"), {})
    frechet, kernel = map(float, capsys.readouterr().out.split())
    assert frechet == pytest.approx(24, rel=1e-4)
    assert kernel > 0
