"""Starts FLARE's parties as our own processes on this machine, and leaves none of them behind.

FLARE's parties start further processes in sessions of their own. Every one inherits a mark in its environment, so the
whole family is found again, orphans included. A watchdog in a session of its own holds the other end of a pipe: when
the launcher goes, in whatever way, it ends the family and removes the workspace with its keys.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from wardround.errors import FabricDown

if TYPE_CHECKING:
    import psutil

MARK = "WARDROUND_FAMILY"
END_TIMEOUT_S = 10.0


class Family:
    """The processes of one loopback deployment; a context manager that ends them all."""

    def __init__(self, workspace: Path) -> None:
        """Prepare, without starting anything.

        Args:
            workspace: private folder that goes with the family: kits, keys, logs.
        """
        self._workspace = workspace
        self._mark = uuid.uuid4().hex
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Family:
        """Start the watchdog."""
        command = [sys.executable, "-m", __name__, self._mark, str(self._workspace)]
        self._watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End every process, then the watchdog."""
        try:
            end_marked(self._mark)
            for child in self._children.values():
                child.wait(END_TIMEOUT_S)
        finally:
            self._release_watchdog()

    def start(self, party: str, kit: Path, environment: Mapping[str, str]) -> None:
        """Start `party` from its startup `kit`; its words go to `log(party)`."""
        bin_folder = str(Path(sys.executable).parent)
        inherited = {**os.environ, **environment}
        inherited["PATH"] = os.pathsep.join((bin_folder, inherited.get("PATH", os.defpath)))
        # The party runs in its kit's folder, where a relative path would lead elsewhere.
        modules = [os.path.abspath(path) for path in inherited.get("PYTHONPATH", "").split(os.pathsep) if path]
        inherited["PYTHONPATH"] = os.pathsep.join(modules)
        with self.log(party).open("ab") as log:
            self._children[party] = subprocess.Popen(
                ["bash", str(kit / "startup" / "sub_start.sh"), "--once"],
                cwd=kit,
                env={**inherited, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self, party: str) -> Path:
        """The file that holds what `party` printed."""
        return self._workspace / f"{party}.log"

    def keep_logs(self, folder: Path) -> None:
        """Copy what every party printed into `folder`; keys and kits stay behind."""
        folder.mkdir(parents=True, exist_ok=True)
        for party in self._children:
            shutil.copyfile(self.log(party), folder / f"{party}.log")

    def ended(self) -> tuple[str, ...]:
        """Parties whose first process is gone."""
        return tuple(party for party, child in self._children.items() if child.poll() is not None)

    def forget(self, party: str) -> None:
        """No longer count `party` as one that should run."""
        self._children.pop(party)

    def _release_watchdog(self) -> None:
        if self._watchdog is None:
            return
        stdin: IO[bytes] | None = self._watchdog.stdin
        if stdin is not None:
            stdin.close()
        self._watchdog.wait(END_TIMEOUT_S)


def end_marked(mark: str, timeout_s: float = END_TIMEOUT_S) -> None:
    """Kill every process that carries `mark`, until there is none.

    Raises:
        FabricDown: some would not end within `timeout_s`.
    """
    import psutil

    deadline = time.monotonic() + timeout_s
    while found := marked(mark):
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in found)
            raise FabricDown(f"processes {pids} would not end; end them by hand before you resume")
        for process in found:
            _kill(process)
        psutil.wait_procs(found, timeout=1.0)


def marked(mark: str) -> list[psutil.Process]:
    """Every running process that carries `mark`, other than this one."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue  # gone, a zombie, or another user's: none of ours
    return found


def _kill(process: psutil.Process) -> None:
    import psutil

    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _watch(mark: str, workspace: str) -> None:
    sys.stdin.buffer.read()  # returns when the launcher closes its end, or dies
    end_marked(mark)
    shutil.rmtree(workspace, ignore_errors=True)


if __name__ == "__main__":
    _watch(*sys.argv[1:])
