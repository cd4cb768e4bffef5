"""Worker processes that die, hang, or cannot start."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from contracts.fabric_contract import SITES, asking, make_actors, open_actor

from wardround.core.codec import Message
from wardround.errors import FabricDown
from wardround.fabric.base import Handler
from wardround.fabric.local import Opener
from wardround.fabric.workers import MAX_RESTARTS, WorkerFabric


class Mortal:
    """Dies at its call as long as a file says so."""

    def __init__(self, site: str, folder: Path) -> None:
        self.site = site
        self.lives = folder / site

    def handle(self, op: str, body: Message) -> Message:
        if self.lives.exists() and (left := int(self.lives.read_text())):
            self.lives.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return Message({"site": self.site, "pid": os.getpid()})


def make_mortals(folder: Path) -> Opener:
    if (folder / "dies at its start").exists():
        (folder / "dies at its start").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return partial(_open, folder)


def _open(folder: Path, site: str) -> Handler:
    return Mortal(site, folder)


def fail_to_start() -> Opener:
    raise SystemExit(3)


@pytest.fixture
def mortals(tmp_path: Path) -> Iterator[WorkerFabric]:
    fabric = WorkerFabric(SITES, partial(make_mortals, tmp_path), workers=2)
    yield fabric
    fabric.close()


def ask(fabric: WorkerFabric, timeout_s: float | None = None) -> list[object]:
    answers = list(fabric.gather(SITES, "greet", asking(), timeout_s))
    assert [answer.site for answer in answers] == list(SITES)
    return [answer.message.fields["site"] if answer.message else answer.failure for answer in answers]


def test_a_worker_that_dies_is_started_again_and_asked_again(mortals: WorkerFabric, tmp_path: Path) -> None:
    (tmp_path / "south").write_text("1")
    assert ask(mortals) == list(SITES)
    assert mortals.events() == ["the worker of site south died during greet and was started again"]
    assert mortals.events() == []


def test_a_worker_killed_while_idle_is_replaced(mortals: WorkerFabric) -> None:
    ask(mortals)
    before = mortals.pids()
    os.kill(before[0], signal.SIGKILL)
    time.sleep(0.2)
    assert ask(mortals) == list(SITES)
    assert len(mortals.events()) == 1
    assert len(set(mortals.pids()) & set(before)) == 1


def test_more_deaths_than_allowed_end_the_fabric(mortals: WorkerFabric, tmp_path: Path) -> None:
    (tmp_path / "north").write_text(str(MAX_RESTARTS + 1))
    with pytest.raises(FabricDown, match=rf"died {MAX_RESTARTS + 1} times, last at greet of site north"):
        ask(mortals)


def test_a_worker_killed_while_it_is_started_again_is_one_more_death(mortals: WorkerFabric, tmp_path: Path) -> None:
    ask(mortals)
    (tmp_path / "south").write_text("1")
    (tmp_path / "dies at its start").touch()
    assert ask(mortals) == list(SITES)
    assert len(mortals.events()) == 2


def test_as_many_deaths_as_allowed_do_not(mortals: WorkerFabric, tmp_path: Path) -> None:
    (tmp_path / "north").write_text(str(MAX_RESTARTS))
    assert ask(mortals) == list(SITES)
    assert len(mortals.events()) == MAX_RESTARTS


def test_sites_have_homes_and_every_worker_its_share(mortals: WorkerFabric) -> None:
    answers = {a.site: a.message.fields["pid"] for a in mortals.gather(SITES, "greet", asking(), None) if a.message}
    assert answers["east"] == answers["south"] != answers["north"] == answers["west"]


def test_a_worker_that_cannot_start_says_how_to_find_out() -> None:
    fabric = WorkerFabric(SITES, fail_to_start, workers=1)
    with pytest.raises(FabricDown, match="--workers 0"):
        list(fabric.gather(SITES, "greet", asking(), None))
    fabric.close()


def test_there_are_never_more_workers_than_sites() -> None:
    fabric = WorkerFabric(("only",), make_actors, workers=5)
    assert len(fabric.pids()) == 1
    fabric.close()
    assert fabric.pids() == []


def test_a_hung_site_s_worker_is_replaced_and_named() -> None:
    fabric = WorkerFabric(SITES, make_actors, workers=2)
    list(fabric.gather(SITES, "greet", asking(), None))
    before = set(fabric.pids())
    answers = list(fabric.gather(SITES, "greet", asking(north="hang"), 0.6))
    assert [answer.failure for answer in answers] == [
        None,
        "greet took longer than the time limit of 0.6 s",
        None,
        None,
    ]
    assert fabric.events() == ["the worker of site north was replaced because greet hung"]
    assert len(before & set(fabric.pids())) == 1
    fabric.close()


def test_a_time_limit_does_not_count_the_start_of_a_process() -> None:
    fabric = WorkerFabric(("east",), _slow_start, workers=1)
    (answer,) = fabric.gather(("east",), "greet", asking(), 0.5)
    assert answer.failure is None
    fabric.close()


def _slow_start() -> Opener:
    time.sleep(0.8)
    return open_actor


def test_no_process_is_left_behind() -> None:
    fabric = WorkerFabric(SITES, make_actors, workers=2)
    pids = fabric.pids()
    list(fabric.gather(SITES, "greet", asking(), None))
    fabric.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
