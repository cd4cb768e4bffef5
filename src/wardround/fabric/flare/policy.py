"""What every kit of a wardround project permits, written while ``nvflare provision`` runs. Not for import elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nvflare.lighter.constants import ProvFileName
from nvflare.lighter.spec import Builder


class SitePolicy(Builder):  # type: ignore[misc, unused-ignore]
    """Narrow FLARE's defaults: our classes and Collab's only, no code in jobs, no log streaming.

    It belongs after ``StaticFileBuilder`` in ``project.yml``.
    """

    def __init__(self, class_allow_list: Sequence[str], server_folder: str) -> None:
        """Take the arguments of ``project.yml``.

        Args:
            class_allow_list: prefixes of the classes a job may name; replaces FLARE's list of some 150.
            server_folder: where the server keeps jobs and snapshots; FLARE's default is shared by every server
                on a machine, and lies in its temp directory.
        """
        self._class_allow_list = list(class_allow_list)
        self._server_folder = server_folder

    def build(self, project: Any, ctx: Any) -> None:
        """Rewrite the policy files of the server's and every site's kit."""
        server = project.get_server()
        for party in (server, *project.get_clients()):
            local = Path(ctx.get_local_dir(party))
            _rewrite(local / ProvFileName.RESOURCES_JSON_DEFAULT, self._narrow)
            _rewrite(local / ProvFileName.AUTHORIZATION_JSON_DEFAULT, _refuse_code)
        _rewrite(Path(ctx.get_local_dir(server)) / ProvFileName.RESOURCES_JSON_DEFAULT, self._keep_apart)

    def _narrow(self, resources: dict[str, Any]) -> None:
        resources["class_list_enforcement_mode"] = "enforce"
        resources["class_allow_list"] = self._class_allow_list
        resources["allow_log_streaming"] = False

    def _keep_apart(self, resources: dict[str, Any]) -> None:
        storage = resources["snapshot_persistor"]["args"]["storage"]
        storage["args"]["root_dir"] = f"{self._server_folder}/snapshots"
        (manager,) = (part for part in resources["components"] if part["id"] == "job_manager")
        manager["args"]["uri_root"] = f"{self._server_folder}/jobs"


def _refuse_code(authorization: dict[str, Any]) -> None:
    rights = authorization["permissions"]
    rights["project_admin"] = {
        "submit_job": "any",
        "clone_job": "none",
        "manage_job": "any",
        "download_job": "any",
        "view": "any",
        "operate": "any",
        "shell_commands": "none",
        "byoc": "none",
    }
    for role in ("org_admin", "lead"):
        rights[role] = rights[role] | {"byoc": "none", "shell_commands": "none"}


def _rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2) + "\n")
