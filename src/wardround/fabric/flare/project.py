"""Describes a consortium to FLARE's provisioning tool: who takes part, and what every kit permits.

``python -m wardround.fabric.flare.project --help`` writes a ``project.yml`` to start from.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wardround.errors import FabricDown, PlanError, RunError, WardroundError
from wardround.fabric.flare.job import check_site_names

_LOG = logging.getLogger(__name__)

ALLOWED = ("nvflare.collab.", "wardround.")
"""Prefixes of the classes that a job may name."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
_ORG = re.compile(r"[A-Za-z0-9_]{1,64}")
_MAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_FOLDER = re.compile(r"/[A-Za-z0-9._/-]*")
_PROJECT = re.compile(r"[A-Za-z0-9_-]{1,63}")
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


@dataclass(frozen=True)
class Project:
    """A consortium.

    Attributes:
        name: of the project; it stands in every certificate.
        server: host name of the server, as every site resolves it.
        port: the one port that the server listens on.
        sites: site -> organisation.
        admin: mail-like name of whoever submits jobs.
        server_org: organisation that runs the server.
        server_folder: where the server keeps jobs and snapshots.
        allowed: prefixes of the classes that a job may name.
    """

    name: str
    server: str
    port: int
    sites: Mapping[str, str]
    admin: str = "admin@wardround.org"
    server_org: str = "consortium"
    server_folder: str = "/var/lib/wardround"
    allowed: tuple[str, ...] = ALLOWED

    def __post_init__(self) -> None:
        """Refuse names that would not survive provisioning, or would mean something in YAML."""
        check_site_names(tuple(self.sites))
        _check(_PROJECT, "project", self.name)
        _check(_HOST, "server", self.server)
        _check(_MAIL, "administrator", self.admin)
        _check(_FOLDER, "server folder", self.server_folder)
        for org in (self.server_org, *self.sites.values()):
            _check(_ORG, "organisation", org)
        for prefix in self.allowed:
            _check(_PREFIX, "class prefix", prefix)
        if not self.sites or self.server in self.sites:
            raise PlanError("a project needs at least one site, and none named as the server is")
        if not 1 <= self.port <= 65535:
            raise PlanError(f"{self.port} is not a port: give one from 1 to 65535")

    def yaml(self) -> str:
        """The text of ``project.yml``."""
        sites = "".join(_SITE.format(name=name, org=org) for name, org in sorted(self.sites.items()))
        allowed = "".join(f"        - {prefix}\n" for prefix in self.allowed)
        return _PROJECT_YML.format(
            name=self.name,
            server=self.server,
            port=self.port,
            server_org=self.server_org,
            server_folder=self.server_folder,
            admin=self.admin,
            sites=sites,
            allowed=allowed,
        )


def provision(project: Project, folder: Path) -> Path:
    """Make keys, certificates and kits for every party below `folder`, on this machine.

    Returns:
        The folder that holds one kit per party.

    Raises:
        RunError: NVIDIA FLARE is not installed.
        FabricDown: FLARE refused the project.
    """
    require_flare()
    from nvflare.lighter.constants import CtxKey
    from nvflare.lighter.prov_utils import prepare_builders
    from nvflare.lighter.provision import prepare_project
    from nvflare.lighter.provisioner import Provisioner
    from nvflare.lighter.utils import load_yaml

    path = folder / "project.yml"
    path.write_text(project.yaml())
    described = load_yaml(str(path))
    described["gen_scripts"] = False
    made = Provisioner(str(folder), prepare_builders(described)).provision(prepare_project(described), logger=_LOG)
    if made.get(CtxKey.BUILD_ERROR):
        raise FabricDown(f"NVIDIA FLARE could not provision the project; its log above says why, the project is {path}")
    return Path(made[CtxKey.CURRENT_PROD_DIR])


def require_flare() -> None:
    """Refuse to go on without NVIDIA FLARE.

    Raises:
        RunError: the extra is not installed.
    """
    try:
        import nvflare.collab  # noqa: F401
    except ImportError:
        raise RunError("this engine needs NVIDIA FLARE: pip install 'wardround[flare]'") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a ``project.yml``; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m wardround.fabric.flare.project", description="Write a project.yml for `nvflare provision`."
    )
    parser.add_argument("--name", default="wardround")
    parser.add_argument("--server", required=True, help="host name of the server, as every site resolves it")
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--admin", default="admin@wardround.org", help="mail-like name of whoever submits jobs")
    parser.add_argument("--out", type=Path, default=Path("project.yml"))
    parser.add_argument("sites", nargs="+", metavar="SITE:ORGANISATION")
    told = parser.parse_args(arguments)
    try:
        sites = dict(_site_and_org(text) for text in told.sites)
        project = Project(told.name, told.server, told.port, sites, told.admin)
        with told.out.open("x") as file:
            file.write(project.yaml())
    except FileExistsError:
        print(f"{told.out} exists already; choose another name with --out", file=sys.stderr)
        return 2
    except WardroundError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(told.out)
    return 0


def _site_and_org(text: str) -> tuple[str, str]:
    site, _, org = text.partition(":")
    return site, org or site.replace("-", "_")


def _check(pattern: re.Pattern[str], what: str, value: str) -> None:
    if not pattern.fullmatch(value):
        raise PlanError(f"{value!r} is no {what} that NVIDIA FLARE accepts (it must match {pattern.pattern})")


_SITE = """\
  - name: {name}
    type: client
    org: {org}
"""

_PROJECT_YML = """\
api_version: 3
name: {name}
description: wardround, hospitals train one model together

participants:
  # Every site must resolve this name to the server, and reach this one port. No site opens a port.
  - name: {server}
    type: server
    org: {server_org}
    fed_learn_port: {port}
    admin_port: {port}
{sites}\
  - name: {admin}
    type: admin
    org: {server_org}
    role: project_admin

builders:
  - path: nvflare.lighter.impl.workspace.WorkspaceBuilder
  - path: nvflare.lighter.impl.static_file.StaticFileBuilder
    args:
      config_folder: config
      scheme: http
  # No code in jobs, no log streaming, and only these classes may be named by one.
  - path: wardround.fabric.flare.policy.SitePolicy
    args:
      class_allow_list:
{allowed}\
      server_folder: {server_folder}
  - path: nvflare.lighter.impl.cert.CertBuilder
  - path: nvflare.lighter.impl.signature.SignatureBuilder
"""

if __name__ == "__main__":
    sys.exit(main())
