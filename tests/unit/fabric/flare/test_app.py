"""What runs inside FLARE's processes, as far as it can run outside of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nvflare.collab", reason="needs the extra [flare]")

from wardround.core.codec import Message, encode
from wardround.errors import QuorumLost, TrustError
from wardround.fabric.base import Fabric
from wardround.fabric.flare import app as flare_app
from wardround.fabric.flare.app import CoordinatorApp, SiteApp
from wardround.fabric.flare.job import DATA, OUTCOME, RUNS, STORE, Job, export_job
from wardround.fabric.flare.wire import pack, unpack

PLAN = '{"name": "demo"}'
opened: list[tuple[object, ...]] = []
ran: list[tuple[object, ...]] = []
refusals = [0]


class Still:
    def handle(self, op: str, body: Message) -> Message:
        return body


def open_still(*arguments: object) -> Still:
    opened.append(arguments)
    if len(opened) <= refusals[0]:
        raise TrustError("the operator of site a has not approved the plan with digest cafe")
    return Still()


def run_quietly(plan_json: str, fabric: Fabric, run_folder: str, resume: bool) -> None:
    ran.append((plan_json, fabric.sites(), fabric.events(), run_folder, resume))
    if json.loads(plan_json).get("fail"):
        raise QuorumLost("1 site is too few")


class StillApp(SiteApp):
    open_site = f"{__name__}:open_still"


class QuietApp(CoordinatorApp):
    run_on_fabric = f"{__name__}:run_quietly"


@pytest.fixture
def party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a party whose FLARE context says what FLARE's would."""
    opened.clear()
    ran.clear()
    refusals[0] = 0

    class Workspace:
        def get_app_config_dir(self, job_id: str) -> str:
            return str(tmp_path / job_id / "app" / "config")

    context = SimpleNamespace(workspace=Workspace(), is_aborted=lambda: False)
    fl_ctx = SimpleNamespace(get_job_id=lambda: "wardround-job")
    clients = [SimpleNamespace(name="b"), SimpleNamespace(name="a")]
    facade = SimpleNamespace(context=context, fl_ctx=fl_ctx, site_name="a", clients=clients)
    monkeypatch.setattr(flare_app, "collab", facade)
    for variable, folder in ((DATA, "images"), (STORE, "state"), (RUNS, "runs"), (OUTCOME, "outcome.json")):
        monkeypatch.setenv(variable, str(tmp_path / folder))
    return tmp_path


def called(app: SiteApp) -> dict[str, Any]:
    body = pack({"op": "echo", "number": 1, "wait_s": 1.0}, encode(Message()))
    return dict(unpack(app.handle("call", body))[0])


def outcome(party: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((party / "outcome.json").read_text())
    return read


def test_a_site_opens_at_its_first_call_with_its_operators_folders(party: Path) -> None:
    export_job(Job(PLAN, "demo-1"), ("a", "b"), party)
    app = StillApp()
    app.start()
    assert opened == []
    assert "failure" not in called(app)
    assert "failure" not in called(app)
    assert opened == [(PLAN, "a", str(party / "images"), str(party / "state" / "demo-1.sites"))]


def test_a_site_without_a_folder_for_its_state_fails_alone(party: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORE)
    export_job(Job(PLAN, "demo-1"), ("a", "b"), party)
    app = StillApp()
    app.start()
    assert called(app)["failure"].startswith("WARDROUND_STORE is not set at a")


def test_a_refused_plan_is_refused_by_name_until_the_operator_approves_it(party: Path) -> None:
    refusals[0] = 2
    export_job(Job(PLAN, "demo-1"), ("a", "b"), party)
    app = StillApp()
    app.start()
    for _ in range(2):
        assert called(app)["failure"] == "the operator of site a has not approved the plan with digest cafe"
    assert "failure" not in called(app)


def test_the_coordinator_runs_in_the_servers_folder_of_runs(party: Path) -> None:
    export_job(Job(PLAN, "demo-1", True, ("job 1 broke",)), ("a", "b"), party)
    QuietApp().main()
    assert ran == [(PLAN, ("a", "b"), ["job 1 broke"], str(party / "runs" / "demo-1"), True)]
    assert outcome(party) == {"ended": True, "kind": "", "sentence": ""}


def test_a_coordinator_that_fails_says_how_before_flare_does(party: Path) -> None:
    export_job(Job('{"fail": true}', "demo-1"), ("a", "b"), party)
    with pytest.raises(QuorumLost):
        QuietApp().main()
    assert outcome(party) == {"ended": True, "kind": "QuorumLost", "sentence": "1 site is too few"}


def test_without_a_launcher_no_outcome_is_written(party: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OUTCOME)
    export_job(Job(PLAN, "demo-1"), ("a", "b"), party)
    QuietApp().main()
    assert not (party / "outcome.json").exists()


def test_the_default_entry_points_exist() -> None:
    for path in (SiteApp.open_site, CoordinatorApp.run_on_fabric):
        assert callable(flare_app._entry(path))
