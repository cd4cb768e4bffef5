"""The engines that are compared, and an environment of its own for each of those that are not ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measure import run_child

ENGINES = Path(__file__).resolve().parent / "engines"
INSTALL_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Engine:
    """Something that carries the no-op job.

    Attributes:
        name: as the table shows it.
        script: below ``engines/``.
        requirements: what pip installs into an environment of its own; empty runs in wardround's.
        environment: further variables.
    """

    name: str
    script: str
    requirements: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def python(self) -> Path:
        """Return the interpreter to run with; installs a peer on the first call.

        Raises:
            RuntimeError: it cannot be installed here.
        """
        if not self.requirements:
            return Path(sys.executable)
        digest = hashlib.sha256(json.dumps([self.requirements, sys.version]).encode()).hexdigest()[:8]
        folder = cache() / f"{Path(self.script).stem}-{digest}"
        done, python = folder / "installed", folder / "bin" / "python"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run_child([*install, *self.requirements], INSTALL_TIMEOUT_S)
            run_child([str(python), "-m", "compileall", "-q", str(folder / "lib")], INSTALL_TIMEOUT_S)
            done.touch()
        return python

    def version(self) -> str:
        """Return the version of the first requirement; empty for ours."""
        if not self.requirements:
            return ""
        package = self.requirements[0].partition("[")[0].partition(">")[0].partition("=")[0]
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return run_child([str(self.python()), "-c", code], 60)[2].strip()


OURS = (
    Engine("LocalFabric, encoded", "wardround_local.py"),
    Engine("WorkerFabric, 2 workers", "wardround_workers.py"),
)
PEERS = (
    Engine(
        "Flower simulation",
        "flower_simulation.py",
        ("flwr[simulation]>=1.41,<1.42",),
        {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Engine("NVFLARE simulator", "nvflare_simulation.py", ("nvflare>=2.9,<2.10",)),
    Engine("FlareFabric on loopback", "wardround_flare.py"),
)


def cache() -> Path:
    """Return the folder of the peers' environments."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "wardround-bench"


def confined(command: Sequence[str]) -> list[str]:
    """Return `command` for a network namespace that holds the loopback interface and nothing else.

    Ray listens on every interface it finds; so that nothing is reachable from outside, it is given none. All engines
    run in the same way.
    """
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    return [*unshare, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
