"""``wardround data``: what it prints, where it stops, and that its help teaches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from terminal import wardround


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "ward"
    folder.mkdir()
    lines = ["image,label,site,patient"]
    for index in range(4):
        values = np.random.default_rng(index).integers(0, 255, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(values).save(folder / f"{index}.png")
        lines.append(f"{index}.png,{'ill' if index % 2 else 'well'},north,p{index}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("verb", "taught"),
    [
        ("inspect", "--names"),
        ("prepare", "goes on where it was"),
        ("count", "at least 20 images"),
        ("pool", "north.json"),
    ],
)
def test_help_teaches(capsys: pytest.CaptureFixture[str], verb: str, taught: str) -> None:
    said = wardround(capsys, "data", verb, "--help")
    text = " ".join(said.out.split())
    assert said.code == 0
    assert taught in text
    assert text.count(f"wardround data {verb} ") == 2  # how it is used, and an example


def test_inspect_ends_with_its_page(ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = wardround(capsys, "data", "inspect", ward, "--out", tmp_path / "page.html", "--workers", 0)
    assert said.code == 0
    assert said.out.splitlines()[-1] == str(tmp_path / "page.html")
    assert "north: ill" in said.out
    assert "4 images do not say whether text is burnt" in said.err
    assert "12 x 12 x 1" in (tmp_path / "page.html").read_text()


def test_prepare_decodes_once_for_the_plan_that_trains(
    ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[data]\nsource = "manifest"\nsize_px = 16\n[data.intensity]\nby = "shades_of_gray"\n')
    first = wardround(capsys, "data", "prepare", ward, "--plan", plan, "--workers", 0)
    assert first.out.splitlines()[0] == "4 images ready, 4 of them decoded now, 0 refused"
    assert "warning: 4 images do not say whether text is burnt into" in first.err
    again = wardround(capsys, "data", "prepare", ward, "--plan", plan, "--workers", 0)
    assert again.out.splitlines()[0] == "4 images ready, 0 of them decoded now, 0 refused"
    assert again.out.splitlines()[1] == first.out.splitlines()[1]
    assert np.load(again.out.splitlines()[1]).shape == (4, 16, 16, 3)


def test_prepare_names_what_it_left_out(ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ward / "2.png").write_bytes(b"")
    refused = wardround(capsys, "data", "prepare", ward, "--workers", 0)
    assert refused.code == 2
    assert "line 4: " in refused.sentence
    assert "2.png is empty" in refused.sentence
    plan = tmp_path / "plan.toml"
    plan.write_text('[data]\nsource = "manifest"\nunreadable_share = 0.25\n')
    said = wardround(capsys, "data", "prepare", ward, "--plan", plan, "--workers", 0)
    assert said.code == 0
    assert said.out.splitlines()[0] == "3 images ready, 4 of them decoded now, 1 refused"
    assert "2.png is empty" in said.err


def test_the_slide_needs_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[data]\nsource = "slide"\nstride_px = 16\n')
    said = wardround(capsys, "data", "prepare", tmp_path, "--plan", plan)
    assert said.code == 0
    assert said.out.splitlines()[-1] == "this source needs no cache"


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = wardround(capsys, "data", "inspect", tmp_path / "nowhere")
    assert said.code == 2
    assert "is no folder" in said.sentence
