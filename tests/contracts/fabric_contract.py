"""What every `Fabric` must do, whatever carries its bytes.

A fabric joins with one line: a subclass of `FabricContract` whose `opened` starts it over `SITES` with `Actor`s as
handlers (``open_actor`` opens one in any process).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wardround.core.codec import Message
from wardround.errors import SiteError
from wardround.fabric.base import Body, Fabric, Handler
from wardround.fabric.local import Opener

SITES = ("east", "north", "south", "west")

Open = Callable[[Sequence[str]], AbstractContextManager[Fabric]]


class Actor:
    """A site that does what the request says: echo, raise, hang, or answer with something that cannot be sent."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.calls = 0

    def handle(self, op: str, body: Message) -> Message:
        self.calls += 1
        if "log" in body.fields:
            Path(body.fields["log"], self.site).touch()
        act = body.fields.get("act", {}).get(self.site, "echo")
        if act == "refuse":
            raise SiteError(f"{self.site} refuses {op}")
        if act == "break":
            raise RuntimeError(f"{self.site} broke")
        if act == "hang":
            time.sleep(60)
        if act == "slow":
            time.sleep(0.05)
        if act == "unsendable":
            return Message({"op": {1, 2}}, {"x": np.zeros(1, np.float16)})
        return Message({"op": op, "site": self.site, "calls": self.calls, "echo": body.fields["echo"]}, body.tensors)


def open_actor(site: str) -> Handler:
    """Open one actor."""
    if site == "closed":
        raise SiteError("this site is closed")
    return Actor(site)


def make_actors() -> Opener:
    """Return what opens actors; importable in a worker process."""
    return open_actor


def asking(**act: str) -> Message:
    return Message({"echo": {"list": [1, 2.5, None]}, "act": act}, {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})


class FabricContract:
    """Every fabric's suite. Slow fabrics are opened once per class."""

    keeps_timeouts = True
    checks_encoding = True
    tells_what_broke = True
    """Whether an error that a site did not raise on purpose is told with its words, which may name a patient."""
    window = 0
    """How many sites may have been called beyond those whose answers were taken."""

    @classmethod
    def opened(cls, names: Sequence[str]) -> AbstractContextManager[Fabric]:
        """Start the fabric over the sites `names`."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def fabric(cls) -> Iterator[Fabric]:
        with cls.opened(SITES) as fabric:
            yield fabric

    def answers(self, fabric: Fabric, sites: Sequence[str], body: Body, timeout_s: float | None = None) -> list[Any]:
        return list(fabric.gather(sites, "greet", body, timeout_s))

    def test_sites_are_sorted(self, fabric: Fabric) -> None:
        assert fabric.sites() == SITES

    def test_every_site_answers_with_what_it_was_sent(self, fabric: Fabric) -> None:
        for answer in self.answers(fabric, SITES, asking()):
            assert answer.failure is None
            assert answer.message.fields["op"] == "greet"
            assert answer.message.fields["site"] == answer.site
            assert answer.message.fields["echo"] == {"list": [1, 2.5, None]}
            np.testing.assert_array_equal(answer.message.tensors["x"], asking().tensors["x"])
            assert answer.message.tensors["x"].dtype == np.float32

    @pytest.mark.parametrize("order", [SITES[::-1], ("west", "east"), ("south",), ()])
    def test_answers_come_in_the_order_of_the_question(self, fabric: Fabric, order: Sequence[str]) -> None:
        assert [a.site for a in self.answers(fabric, order, asking(east="slow", west="slow"))] == list(order)

    def test_only_the_sites_that_are_asked_are_called(self, fabric: Fabric) -> None:
        def calls() -> dict[str, int]:
            return {a.site: a.message.fields["calls"] for a in self.answers(fabric, SITES, asking())}

        before = calls()
        self.answers(fabric, ("east", "west"), asking())
        after = calls()
        assert {site: after[site] - before[site] for site in SITES} == {"east": 2, "north": 1, "south": 1, "west": 2}

    @pytest.mark.parametrize("order", [SITES, SITES[::-1], ("west", "east")])
    def test_each_site_gets_the_message_that_is_its_own(self, fabric: Fabric, order: Sequence[str]) -> None:
        bodies = {
            site: Message({"echo": f"for {site}"}, {"x": np.full(place, place, np.int64)})
            for place, site in enumerate(SITES)
        }
        answers = self.answers(fabric, order, bodies)
        assert [answer.site for answer in answers] == list(order)
        for answer in answers:
            assert answer.message.fields["site"] == answer.site
            assert answer.message.fields["echo"] == f"for {answer.site}"
            np.testing.assert_array_equal(answer.message.tensors["x"], bodies[answer.site].tensors["x"])

    def test_a_site_without_a_message_is_an_error_before_anybody_is_called(
        self, fabric: Fabric, tmp_path: Path
    ) -> None:
        bodies = {site: Message({"echo": "", "log": str(tmp_path)}) for site in SITES if site != "west"}
        with pytest.raises(ValueError, match="site west is to be called, but there is no message for it"):
            self.answers(fabric, SITES, bodies)
        assert list(tmp_path.iterdir()) == []
        answers = self.answers(fabric, SITES[:3], bodies)
        assert [answer.failure for answer in answers] == [None] * 3
        assert sorted(path.name for path in tmp_path.iterdir()) == list(SITES[:3])

    @pytest.mark.parametrize(("act", "words"), [("refuse", "north refuses greet"), ("break", "north broke")])
    def test_a_site_that_raises_fails_alone(self, fabric: Fabric, act: str, words: str) -> None:
        answers = self.answers(fabric, SITES, asking(north=act))
        assert [answer.failure is None for answer in answers] == [True, False, True, True]
        assert (words in answers[1].failure) == (act == "refuse" or self.tells_what_broke)
        assert "north" in answers[1].failure
        assert answers[1].message is None
        assert all(answer.failure is None for answer in self.answers(fabric, SITES, asking()))

    def test_an_answer_that_cannot_be_sent_fails_alone(self, fabric: Fabric) -> None:
        if not self.checks_encoding:
            pytest.skip("messages are not encoded here")
        answers = self.answers(fabric, SITES, asking(south="unsendable"))
        assert [answer.failure is None for answer in answers] == [True, True, False, True]
        assert "cannot be sent" in answers[2].failure

    def test_a_site_that_hangs_fails_alone_and_by_itself(self, fabric: Fabric) -> None:
        if not self.keeps_timeouts:
            pytest.skip("time limits cannot be kept here")
        began = time.monotonic()
        answers = self.answers(fabric, SITES, asking(west="hang"), timeout_s=1.5)
        assert [answer.failure is None for answer in answers] == [True, True, True, False]
        assert "1.5 s" in answers[3].failure
        assert time.monotonic() - began < 30
        fabric.events()
        assert all(answer.failure is None for answer in self.answers(fabric, SITES, asking(), timeout_s=30))

    def test_a_fabric_that_mended_nothing_tells_nothing(self, fabric: Fabric) -> None:
        fabric.events()
        self.answers(fabric, SITES, asking(east="refuse"))
        assert fabric.events() == []

    def test_a_question_that_was_given_up_leaves_no_answer_behind(self, fabric: Fabric) -> None:
        stream = fabric.gather(SITES, "old", asking(east="slow", west="slow"), None)
        assert next(stream).site == "east"
        stream.close()
        answers = self.answers(fabric, SITES, asking())
        assert [answer.message.fields["op"] for answer in answers] == ["greet"] * 4
        fabric.events()

    def test_memory_does_not_grow_with_the_number_of_sites(self, tmp_path: Path) -> None:
        """While an answer is used, only a bounded number of further sites has been called."""
        names = tuple(f"site-{index:02d}" for index in range(12))
        with self.opened(names) as fabric:
            body = asking()
            stream = fabric.gather(names, "greet", Message({**body.fields, "log": str(tmp_path)}, body.tensors), None)
            next(stream)
            time.sleep(0.3)
            assert 1 <= len(list(tmp_path.iterdir())) <= 1 + self.window
            assert len(list(stream)) == 11
            assert len(list(tmp_path.iterdir())) == 12

    def test_closing_twice_is_safe(self) -> None:
        with self.opened(SITES[:2]) as fabric:
            assert len(self.answers(fabric, SITES[:2], asking())) == 2
            fabric.close()
            fabric.close()

    def test_a_site_that_cannot_be_opened_fails_alone(self) -> None:
        with self.opened(("closed", "east")) as fabric:
            answers = self.answers(fabric, ("closed", "east"), asking())
            assert [answer.failure for answer in answers] == ["this site is closed", None]


@contextlib.contextmanager
def closing(make: Callable[[], Fabric]) -> Iterator[Fabric]:
    """Close a fabric at the end of the block."""
    fabric = make()
    try:
        yield fabric
    finally:
        fabric.close()
