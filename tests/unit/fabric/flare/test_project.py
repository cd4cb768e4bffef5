"""What a consortium is provisioned with."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from wardround.errors import PlanError, RunError
from wardround.fabric.flare import project as flare_project
from wardround.fabric.flare.project import Project, main, provision, require_flare

SITES = {"vidir_modern": "vienna", "rosendahl": "queensland"}


def test_the_file_describes_every_party_and_one_port() -> None:
    yaml = pytest.importorskip("yaml", reason="needs the extra [flare]")
    told = yaml.safe_load(Project("ham", "fl.example.org", 8002, SITES).yaml())
    parties = {party["name"]: party for party in told["participants"]}
    assert {name: party["org"] for name, party in parties.items() if party["type"] == "client"} == SITES
    assert parties["fl.example.org"]["fed_learn_port"] == parties["fl.example.org"]["admin_port"] == 8002
    (policy,) = (part["args"] for part in told["builders"] if part["path"].endswith("SitePolicy"))
    assert policy["class_allow_list"] == ["nvflare.collab.", "wardround."]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a b"},
        {"server": "x: y"},
        {"server": "-x"},
        {"server": "rosendahl"},
        {"port": 0},
        {"port": 65536},
        {"sites": {}},
        {"sites": {"a\n  role: lead": "o"}},
        {"sites": {"a": "two words"}},
        {"admin": "admin"},
        {"server_folder": "relative"},
        {"allowed": ("*",)},
    ],
)
def test_names_that_would_not_survive_are_refused(fields: dict[str, object]) -> None:
    good = {"name": "ham", "server": "fl.example.org", "port": 8002, "sites": SITES}
    with pytest.raises(PlanError):
        Project(**{**good, **fields})  # type: ignore[arg-type]


def test_every_kit_permits_our_classes_only_and_no_code(tmp_path: Path) -> None:
    pytest.importorskip("nvflare.collab", reason="needs the extra [flare]")
    kits = provision(Project("ham", "localhost", 8002, SITES, server_folder=str(tmp_path / "server")), tmp_path)
    for party in ("localhost", *SITES):
        resources = json.loads((kits / party / "local" / "resources.json.default").read_text())
        rights = json.loads((kits / party / "local" / "authorization.json.default").read_text())["permissions"]
        assert resources["class_allow_list"] == ["nvflare.collab.", "wardround."]
        assert resources["class_list_enforcement_mode"] == "enforce"
        assert resources["allow_log_streaming"] is False
        assert {rights[role]["byoc"] for role in ("project_admin", "org_admin", "lead")} == {"none"}
        assert {rights[role]["shell_commands"] for role in ("project_admin", "org_admin", "lead")} == {"none"}
    assert "/tmp/nvflare" not in (kits / "localhost" / "local" / "resources.json.default").read_text()


def test_the_command_writes_a_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "project.yml"
    arguments = ["--server", "fl.example.org", "--out", str(out), "rosendahl:queensland", "vidir-old"]
    assert main(arguments) == 0
    assert "name: vidir-old\n    type: client\n    org: vidir_old" in out.read_text()
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["--server", "fl.example.org", "--out", str(tmp_path / "x"), "two words"]) == 2
    assert not (tmp_path / "x").exists()


def test_without_nvidia_flare_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvflare.collab", None)
    with pytest.raises(RunError, match=r"pip install 'wardround\[flare\]'"):
        require_flare()
    with pytest.raises(RunError, match="needs NVIDIA FLARE"):
        flare_project.provision(Project("ham", "localhost", 8002, SITES), Path("/nowhere"))
