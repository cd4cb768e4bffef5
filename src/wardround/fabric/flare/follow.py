"""Watches a job from outside: the rounds it writes, what it says of itself, and what FLARE says of it."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from wardround import errors
from wardround.errors import FabricDown, RunError
from wardround.fabric.flare.session import Session

STATUS_EVERY_S = 2.0

Progress = Callable[[dict[str, Any]], None]

_KINDS = {
    kind.__name__: kind
    for kind in (errors.PlanError, errors.DataError, errors.RunFolderError, errors.QuorumLost, errors.FabricDown)
}


class JobStatus:
    """Asks FLARE now and then whether a job still runs: the answer for a coordinator that died without a word."""

    def __init__(self, session: Session, job_id: str) -> None:
        """Watch `job_id`."""
        self._session = session
        self._job_id = job_id
        self._next = time.monotonic() + STATUS_EVERY_S
        self._finished: str | None = None

    def check(self) -> None:
        """Ask, unless it is too early.

        Raises:
            FabricDown: FLARE called the job finished one question ago, so its outcome had time to appear.
        """
        if time.monotonic() < self._next:
            return
        if self._finished is not None:
            raise FabricDown(f"FLARE ended the job ({self._finished})")
        self._next = time.monotonic() + STATUS_EVERY_S
        status = self._session.status(self._job_id)
        if status.startswith("FINISHED"):
            self._finished = status


@dataclass(frozen=True)
class Outcome:
    """What the coordinator said of itself."""

    ended: bool
    kind: str
    sentence: str

    def raise_failure(self) -> None:
        """Raise what ended the coordinator early, if anything did."""
        if self.kind:
            raise _KINDS.get(self.kind, RunError)(self.sentence)


def read_outcome(path: Path) -> Outcome | None:
    """Read what `wardround.fabric.flare.app.CoordinatorApp` wrote, if it wrote anything yet."""
    return Outcome(**json.loads(path.read_bytes())) if path.exists() else None


class NewLines:
    """Passes on each line that appears in ``rounds.jsonl``."""

    def __init__(self, path: Path, on_line: Progress, skip: bool) -> None:
        """Follow `path`, which need not exist yet.

        Args:
            path: the file.
            on_line: called with each line's JSON object.
            skip: leave out what the file holds already.
        """
        self._path = path
        self._on_line = on_line
        self._offset = path.stat().st_size if skip and path.exists() else 0

    def poll(self) -> None:
        """Pass on the complete lines that are new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            # A resumed run cuts off a round that was half written.
            self._offset = min(self._offset, file.seek(0, io.SEEK_END))
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                self._on_line(json.loads(line))


@contextlib.contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM leave through the context managers, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
