"""The administrator's side of FLARE: which sites are there, submit a job, ask how it stands."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wardround.errors import FabricDown, RunFolderError
from wardround.fabric.flare.project import require_flare

POLL_S = 0.5
LOGIN_S = 5.0


class Session:
    """One administrator's login; every failure of FLARE's own is a `FabricDown`."""

    def __init__(self, api: Any) -> None:
        """Wrap a session of FLARE's; see `logged_in`."""
        self._api = api

    def connected(self) -> frozenset[str]:
        """Names of the sites that are connected to the server."""
        clients = self._asked("list the sites", self._api.get_connected_client_list)
        return frozenset(client.name for client in clients)

    def submit(self, job: Path) -> str:
        """Submit the job in folder `job` and return FLARE's name for it."""
        return str(self._asked("take the job", lambda: self._api.submit_job(str(job))))

    def status(self, job_id: str) -> str:
        """How FLARE says the job stands, such as ``RUNNING`` or ``FINISHED:COMPLETED``."""
        return str(self._asked("tell how the job stands", lambda: self._api.get_job_status(job_id)))

    def close(self) -> None:
        """Log out; a server that is gone already is no matter."""
        try:
            self._api.close()
        except Exception as error:
            logging.getLogger(__name__).info("the FLARE server could not be told good-bye: %s", error)

    @staticmethod
    def _asked(what: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:
            raise FabricDown(f"the FLARE server could not {what}: {error}") from error


@contextlib.contextmanager
def logged_in(kit: Path, timeout_s: float, alive: Callable[[], None] = lambda: None) -> Iterator[Session]:
    """Log in with an administrator's startup kit, trying until the server is up.

    Args:
        kit: the administrator's folder, which holds ``startup/``.
        timeout_s: how long to try.
        alive: called between two tries; raises when it is useless to go on.

    Raises:
        RunError: NVIDIA FLARE is not installed.
        RunFolderError: `kit` is no administrator's kit.
        FabricDown: the server did not let us in.
    """
    require_flare()
    from nvflare.fuel.flare_api.flare_api import new_secure_session

    name = admin_name(kit)
    # Without a handler Python prints FLARE's warnings, such as every lost connection, into the progress display.
    logging.getLogger().addHandler(logging.NullHandler())
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints that it connects
                api = new_secure_session(name, str(kit), timeout=LOGIN_S)
            break
        except Exception as error:
            alive()
            if time.monotonic() > deadline:
                raise FabricDown(f"the FLARE server did not let {name} in: {error}") from error
            time.sleep(POLL_S)
    session = Session(api)
    try:
        yield session
    finally:
        session.close()


def admin_name(kit: Path) -> str:
    """Read from a startup kit whose it is.

    Raises:
        RunFolderError: `kit` is no administrator's kit.
    """
    try:
        return str(json.loads((kit / "startup" / "fed_admin.json").read_bytes())["admin"]["username"])
    except (OSError, ValueError, KeyError, TypeError):
        raise RunFolderError(f"{kit} is no administrator's startup kit (it needs startup/fed_admin.json)") from None


def wait_for_sites(
    session: Session, wanted: frozenset[str], timeout_s: float, gone: Callable[[], frozenset[str]] = frozenset
) -> frozenset[str]:
    """Wait until every one of `wanted` is connected, is known to be `gone`, or `timeout_s` has passed.

    Returns:
        Those of `wanted` that are connected.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        there = wanted & session.connected()
        if there >= wanted - gone() or time.monotonic() > deadline:
            return there - gone()
        time.sleep(POLL_S)
