"""A job is configuration: what it holds, and what its parties refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.errors import PlanError
from wardround.fabric.flare.job import Job, check_site_names, export_job, plan_digest, read_job

PLAN = '{"name":"é","note":"{braces} and YmFzZTY0"}'
GOLDEN = [
    "app/config/config_fed_client.json",
    "app/config/config_fed_server.json",
    "app/config/plan.json",
    "app/config/wardround.json",
    "meta.json",
]


def exported(folder: Path, job: Job | None = None) -> Path:
    return export_job(job or Job(PLAN, "demo-1234abcd", True, ("job 1 broke",)), ("a", "b"), folder)


def files_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_job_ships_five_json_files_and_no_code(tmp_path: Path) -> None:
    assert files_of(exported(tmp_path)) == GOLDEN


def test_a_job_comes_back_as_it_was(tmp_path: Path) -> None:
    job = Job(PLAN, "demo-1234abcd", True, ("job 1 broke",))
    assert read_job(exported(tmp_path, job) / "app" / "config") == job


def test_no_path_of_the_sender_travels(tmp_path: Path) -> None:
    root = exported(tmp_path)
    for name in GOLDEN:
        assert str(tmp_path) not in (root / name).read_text()


def test_a_plan_changed_on_the_way_is_refused(tmp_path: Path) -> None:
    config = exported(tmp_path) / "app" / "config"
    (config / "plan.json").write_text(PLAN.replace("é", "e"))
    with pytest.raises(PlanError, match=f"the job names {plan_digest(PLAN)[:8]}"):
        read_job(config)


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"run":"r","resume":false,"mended":3,"digest":"d"}'])
def test_a_malformed_job_is_refused(tmp_path: Path, damage: str) -> None:
    config = exported(tmp_path) / "app" / "config"
    (config / "wardround.json").write_text(damage)
    with pytest.raises(PlanError, match="no readable plan"):
        read_job(config)


@pytest.mark.parametrize("run", ["", "..", "a/b", "/etc", "a\n", "-x", "x" * 129])
def test_a_run_cannot_leave_the_folder_of_runs(run: str) -> None:
    with pytest.raises(PlanError, match="cannot name a run folder"):
        Job(PLAN, run)


@pytest.mark.parametrize("site", ["", "two words", "a/b", "server", "x" * 65, "é", "a.b"])
def test_sites_that_flare_cannot_name_are_refused(site: str) -> None:
    with pytest.raises(PlanError, match="FLARE cannot carry"):
        check_site_names(("ok", site))


def test_two_sites_of_one_name_are_refused() -> None:
    with pytest.raises(PlanError, match="same name"):
        check_site_names(("a", "a"))


@given(plan=st.text(st.characters(exclude_categories=("Cs",))))
def test_the_digest_is_that_of_the_bytes(plan: str) -> None:
    assert plan_digest(plan) == Job(plan, "r").digest
    assert plan_digest(plan) != plan_digest(plan + " ")


def test_the_files_are_what_flares_own_recipe_writes(tmp_path: Path) -> None:
    """Oracle: FLARE's exporter, for the parts that both write."""
    pytest.importorskip("nvflare.collab", reason="needs the extra [flare]")
    from nvflare.collab import CollabRecipe

    from wardround.fabric.flare.app import CoordinatorApp, SiteApp

    recipe = CollabRecipe("demo-1234abcd", server=CoordinatorApp(), client=SiteApp(), sync_task_timeout=300)
    recipe.export(str(tmp_path / "theirs"))
    config = Path("app", "config")
    ours, theirs = exported(tmp_path), tmp_path / "theirs" / "demo-1234abcd"
    for name in ("config_fed_server.json", "config_fed_client.json"):
        assert _core(ours / config / name) == _core(theirs / config / name)
    assert set(_read(theirs / "meta.json")) == set(_read(ours / "meta.json"))


def _read(path: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads(path.read_text())
    return read


def _core(path: Path) -> object:
    def without_thread_counts(value: object) -> object:
        if isinstance(value, dict):
            skipped = ("max_inbound_call_threads", "max_outbound_call_threads", "sync_task_timeout")
            return {k: without_thread_counts(v) for k, v in value.items() if k not in skipped}
        return [without_thread_counts(v) for v in value] if isinstance(value, list) else value

    return without_thread_counts(_read(path))
