"""The how-to on FLARE names commands, options and variables that exist, and its walk with keys can be walked."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from terminal import wardround

from wardround.cli.main import app
from wardround.protect.home import Home
from wardround.protect.identity import grouped
from wardround.protect.trust import Trust
from wardround.study.spec import load

ROOT = Path(__file__).parents[3]
HOW_TO = (ROOT / "docs" / "how-to" / "deploy-on-flare.md").read_text()
BLOCKS = "\n".join(re.findall(r"```bash\n(.*?)```", HOW_TO, re.DOTALL)).replace("\\\n", " ")
COMMANDS = sorted(
    set(re.findall(r"^ *(wardround .+)$", BLOCKS, re.MULTILINE) + re.findall(r"`(wardround [^`]+)`", HOW_TO))
)


def test_the_commands_were_found() -> None:
    verbs = {" ".join(command.split()[1:3]) for command in COMMANDS}
    assert {"keys new", "keys show", "site trust", "site approve", "train plan.toml", "predict demo-1f00c2d4"} <= verbs


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        found = found.commands[words.pop(0)]
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_every_variable_exists() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"WARDROUND_[A-Z_]+", HOW_TO))
    assert len(named) == 5
    assert {name for name in named if f'"{name}"' not in sources} == set()


def test_keys_are_exchanged_and_made_anew_as_the_how_to_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery")
    secret.chmod(0o600)
    monkeypatch.setenv("WARDROUND_PASSPHRASE_FILE", str(secret))
    monkeypatch.setattr("wardround.protect.vault.Vault.__init__.__defaults__", (15,))
    plan = tmp_path / "plan.toml"
    plan.write_text("rounds = 2\n")

    def at(site: str, *words: object) -> str:
        monkeypatch.setenv("WARDROUND_HOME", str(tmp_path / site))
        said = wardround(capsys, *words)
        assert said.code == 0, said.err
        return said.out

    for site in ("rosendahl", "vidir_modern"):
        at(site, "keys", "new", "--site", site)
        at(site, "site", "approve", plan)
    shown = at("vidir_modern", "keys", "show").splitlines()[1]
    at("rosendahl", "site", "trust", "vidir_modern", shown)
    at("vidir_modern", "site", "trust", "rosendahl", at("rosendahl", "keys", "show").splitlines()[1])
    before = Trust.load(tmp_path / "rosendahl" / "trust.toml")

    (tmp_path / "rosendahl").rename(tmp_path / "rosendahl.old")
    at("rosendahl", "keys", "new", "--site", "rosendahl")
    (tmp_path / "rosendahl" / "trust.toml").write_bytes((tmp_path / "rosendahl.old" / "trust.toml").read_bytes())
    renewed = Home(tmp_path / "rosendahl")
    assert renewed.trust() == before == Trust("rosendahl", (load(plan).digest(),), dict(before.peers))
    at("vidir_modern", "site", "trust", "rosendahl", *grouped(renewed.public().fingerprint).split(), "--change")
    Home(tmp_path / "vidir_modern").trust().check_peer("rosendahl", renewed.public())
