"""The how-to on poisoning: its plan shows an attack that works, and its screens are there."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from terminal import wardround

from wardround.attacks.poison import POISONS
from wardround.screen import SCREENS
from wardround.study.spec import parse

HOW_TO = (Path(__file__).parents[3] / "docs" / "how-to" / "withstand-poisoning.md").read_text()
PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "robustness.md").read_text()
(TOML,) = re.findall(r"```toml\n(.*?)```", HOW_TO, re.DOTALL)
PARTS = re.findall(r"```text\n(.*?)```", HOW_TO, re.DOTALL)


@pytest.mark.slow
def test_the_plan_is_attacked_and_a_screen_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = {}
    for name, text in {"poisoned": TOML, "clipped": TOML + PARTS[0]}.items():
        Path(f"{name}.toml").write_text(text)
        said = wardround(capsys, "train", f"{name}.toml", "--out", name, "--workers", "0")
        assert said.code == 0, said.err
        (attack,) = json.loads(Path(name, "summary.json").read_text())["attacks"]
        found[name] = attack["success"]
        page = Path(name, "report.html").read_text()
        assert "Screens and attacks" in page
        assert ("Left out in rounds" in page) == (name == "clipped")
    assert found["poisoned"] > 0.9
    assert found["clipped"] < found["poisoned"] - 0.2


def test_every_screen_that_it_shows_can_be_put_into_the_plan() -> None:
    plans = [parse(tomllib.loads(TOML + part)) for part in PARTS]
    shown = ["clip_norms", "nearest_neighbour_mixing", "e_detector", "group_evidence"]
    assert [plan.screens[0].combiner.name for plan in plans] == shown
    for plan in plans:
        plan.check()


def test_all_kinds_and_all_screens_are_named() -> None:
    assert all(f"`{kind}`" in HOW_TO or f'kind = "{kind}"' in HOW_TO for kind in POISONS)
    assert all(f"`{name}`" in PAGE for name in SCREENS if name != "norms")
