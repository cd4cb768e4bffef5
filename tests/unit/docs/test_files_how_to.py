"""The how-to on a hospital's files: its table, its plan and its commands work as they stand on the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from dicom_files import image, placed, save, structures
from terminal import wardround

from wardround.study.explain import explain
from wardround.study.spec import load

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "bring-your-files.md"


def block(language: str, holding: str = "") -> str:
    found = re.findall(rf"```{language}\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    return next(one for one in found if holding in one)


def ward(folder: Path) -> None:
    """Write the page's folder: a DICOM image and a structure set for each line of its table."""
    (folder / "ward").mkdir()
    (folder / "ward" / "manifest.csv").write_text(block("csv"))
    square = np.array([[-8, -18, 0], [-8, -10, 0], [0, -10, 0], [0, -18, 0]], dtype=float)
    for index in range(4):
        values = np.random.default_rng(index).integers(800, 1300, (40, 40)).astype(np.int16)
        ct = image(values, RescaleSlope=1, RescaleIntercept=-1024, **placed(float(index)))
        outline = structures({"lesion": [(str(ct.SOPInstanceUID), square + np.array([0, 0, index]))]})
        save(ct, folder / "ward" / f"{index}.dcm")
        save(outline, folder / "ward" / f"{index}.rtstruct.dcm")


def test_the_page_s_commands_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    ward(tmp_path)
    (tmp_path / "plan.toml").write_text(block("toml"))
    every = re.findall(r"```\n(wardround .*)\n```", HOW_TO.read_text())
    assert [" ".join(command.split()[1:3]) for command in every] == [
        "data inspect",
        "data count",  # these two are in tests/unit/study/test_statistics.py: they need more images than four
        "data pool",
        "data prepare",
        "train plan.toml",
    ]
    commands = [every[0], *every[3:]]
    in_this_process = {"data": ("--workers", "0"), "train": ("--workers", "0")}
    said = [wardround(capsys, *command.split()[1:], *in_this_process[command.split()[1]]) for command in commands]
    assert [each.code for each in said] == [0, 0, 0], [each.err for each in said]
    assert "RTSTRUCT" in said[0].out
    assert (tmp_path / "inspection.html").exists()
    assert "4 images ready, 4 of them decoded now" in said[1].out
    assert (Path(said[2].out.splitlines()[-1]) / "model.safetensors").exists()


def test_check_says_how_images_become_alike(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(block("toml"))
    said = explain(load(tmp_path / "plan.toml"))
    assert "orientation = 'PLS', spacing_mm = 0.5, outside_mask = 'blank'; grey levels window" in said


def test_the_mask_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wardround.data.prepare import Decoding

    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))
    ward(tmp_path)
    (tmp_path / "plan.toml").write_text(block("toml"))
    images = load(tmp_path / "plan.toml").data.source.load(tmp_path / "ward", Decoding())
    middle, corner = images.pixels[:, 10, 10], images.pixels[:, -1, -1]
    assert middle.all()
    assert not corner.any()
