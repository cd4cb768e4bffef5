"""What the engines make of a plan, with FLARE itself replaced: the slow tests have the real one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from wardround.errors import PlanError, RunFolderError
from wardround.fabric.flare import poc, submit
from wardround.fabric.flare.poc import Loopback
from wardround.protect.home import HOME, Home
from wardround.rounds.listener import Silent
from wardround.rounds.plan import Plan
from wardround.study import engines
from wardround.study.folder import RunFolder

NAMES = ("site-1", "site-2")
SLIDE = {"stride_px": 16, "sites": {"by": "iid", "sites": 2}}
PLAIN = tiny.plan(data=SLIDE)
SEALED = tiny.plan(data=SLIDE, protect=tiny.PIPELINES["packed and masked"])
MODEL = b"the model that the sites agreed on"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardround.protect.vault.Vault.__init__.__defaults__", (15,))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Loopback]:
    """Let every loopback run end at once; the first site's model is an older one."""
    seen: list[Loopback] = []

    def launch(plan_json: str, loopback: Loopback, resume: bool, on_progress: Callable[[Any], None]) -> None:
        seen.append(loopback)
        loopback.run_folder.mkdir()
        (loopback.run_folder / "plan.toml").write_text(plan_json)
        finish(loopback.run_folder)

    monkeypatch.setattr(poc, "launch_poc", launch)
    return seen


def finish(run: Path) -> None:
    summary = {"status": "done", "sites": dict.fromkeys(NAMES), "model_sha256": hashlib.sha256(MODEL).hexdigest()}
    (run / "summary.json").write_text(json.dumps(summary))
    for site, content in zip(NAMES, (b"an older model", MODEL), strict=True):
        store = RunFolder(run).store_root / site
        store.mkdir(parents=True, exist_ok=True)
        (store / "model.safetensors").write_bytes(content)


def run(plan: Plan, path: Path, resume: bool = False) -> Path:
    return engines.choose("flare-poc", None)(plan, path, None, resume, Silent())


def test_every_loopback_site_is_set_up_in_the_folder_of_the_run(tmp_path: Path, launched: list[Loopback]) -> None:
    for name, plan in (("plain", PLAIN), ("sealed", SEALED)):
        run(plan, tmp_path / name)
        told = launched[-1].site_environment
        assert tuple(told) == launched[-1].sites == NAMES
        for site in NAMES:
            home = Home(Path(told[site][HOME]))
            assert home.folder.is_relative_to(tmp_path / f"{name}.sites" / site)
            assert home.trust().plans == (plan.digest(),)
            assert set(home.trust().peers) == (set(NAMES) - {site} if plan is SEALED else set())


def test_where_the_coordinator_is_blind_the_agreed_model_is_taken_from_a_site(
    tmp_path: Path, launched: list[Loopback]
) -> None:
    path = run(SEALED, tmp_path / "sealed")
    assert (path / "model.safetensors").read_bytes() == MODEL
    assert not (run(PLAIN, tmp_path / "plain") / "model.safetensors").exists()


def test_a_launcher_killed_before_it_took_the_model_takes_it_later(
    tmp_path: Path, launched: list[Loopback], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "check_plan", lambda *_: None)
    path = run(SEALED, tmp_path / "sealed")
    (path / "model.safetensors").unlink()
    assert (run(SEALED, path, resume=True) / "model.safetensors").read_bytes() == MODEL
    assert len(launched) == 1
    (path / "model.safetensors").unlink()
    (RunFolder(path).store_root / "site-2" / "model.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"no site in .* holds the model that the sites agreed on"):
        run(SEALED, path, resume=True)


@pytest.mark.parametrize("plan", [PLAIN, SEALED], ids=["plain", "sealed"])
def test_a_consortium_is_told_where_the_model_lies(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "submit", lambda plan_json, name, *_: f"the run folder is {name}")
    where = engines.submit_to_consortium(plan, Path("runs/demo"), Path("kit"), NAMES, False, lambda _: None)
    end = "; the model lies at each site, demo.sites/SITE/model.safetensors below WARDROUND_STORE"
    assert where == "the run folder is demo" + (end if plan is SEALED else "")


def test_a_consortium_needs_a_kit_and_sites() -> None:
    with pytest.raises(PlanError, match="needs --admin-kit FOLDER and --site NAME"):
        engines.submit_to_consortium(PLAIN, None, None, NAMES, False, lambda _: None)
