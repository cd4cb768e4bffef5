"""The how-to on attacks: its plan is attacked as it says, its commands exist, and its ten lines rebuild an image."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from terminal import wardround

from wardround.attacks import ATTACKS
from wardround.cli.main import app

HOW_TO = (Path(__file__).parents[3] / "docs" / "how-to" / "attack-a-plan.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", HOW_TO, re.DOTALL)
    return str(found)


def test_the_command_can_be_given_and_its_options_exist() -> None:
    command: Any = typer.main.get_command(app)
    options = {option for parameter in command.commands["attack"].params for option in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", HOW_TO))
    assert named <= options
    assert {"--images", "--after", "--attack"} <= named


def test_every_attack_is_described() -> None:
    assert all(f"- `{name}`" in HOW_TO for name in ATTACKS)


def test_its_plan_is_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("leaky.toml").write_text(block("toml"))
    words = shlex.split(block("bash"))[1:]
    words[words.index("--updates") + 1], words[words.index("--steps") + 1] = "1", "5"
    said = wardround(capsys, *words)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == f"attacks/{tomllib.loads(block('toml'))['name']}/leakage.html"


def test_its_lines_rebuild_an_image(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    exec(block("python"), {})
    labels, distance, worst = capsys.readouterr().out.split()
    assert labels == "[2]"
    assert float(distance) < 1e-6
    assert float(worst) < 0.05
