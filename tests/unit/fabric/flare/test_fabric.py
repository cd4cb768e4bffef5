"""The coordinator's end of the FLARE fabric, against sites in this process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.core.codec import Message
from wardround.errors import FabricDown, SiteError
from wardround.fabric.base import MAX_FAILURE_LETTERS
from wardround.fabric.flare import fabric as flare
from wardround.fabric.flare import site as flare_site
from wardround.fabric.flare import wire as flare_wire
from wardround.fabric.flare.fabric import FlareFabric
from wardround.fabric.flare.site import SiteEnd
from wardround.fabric.flare.wire import LONGEST_CALL_S, pack, unpack


class CallError(Exception):
    """Stands for FLARE's ``CollabCallError``."""

    def __init__(self, cause: object) -> None:
        super().__init__(f"call failed: {cause}")
        self.cause = cause


class AbortedError(Exception):
    """Stands for FLARE's ``RunAborted``."""


class Echo:
    """A site that answers what it was sent, after an optional action."""

    def __init__(self, site: str, act: Callable[[str], None] = lambda _: None) -> None:
        self.site = site
        self.act = act

    def handle(self, op: str, body: Message) -> Message:
        self.act(self.site)
        return Message({**body.fields, "op": op, "site": self.site}, body.tensors)


class Direct:
    """A proxy that calls a `SiteEnd` in this process, and notes what passed."""

    def __init__(self, handler: Echo) -> None:
        self.end = SiteEnd(handler.site, lambda: handler)
        self.steps: list[str] = []
        self.timeouts_s: list[float] = []
        self.longest_bytes = 0
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def __call__(self, *, timeout: float) -> Direct:
        self.timeouts_s.append(timeout)
        return self

    def handle(self, op: str, body: bytes) -> bytes:
        with self._lock:
            self.steps.append(op)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = self.end.handle(op, body)
        finally:
            with self._lock:
                self._at_once -= 1
                self.longest_bytes = max(self.longest_bytes, len(body), len(answer))
        return answer


class Raises:
    """A proxy whose every call raises."""

    def __init__(self, error: Exception, after_s: float = 0.0) -> None:
        self.error = error
        self.after_s = after_s

    def __call__(self, *, timeout: float) -> Raises:
        return self

    def handle(self, op: str, body: bytes) -> bytes:
        time.sleep(self.after_s)
        raise self.error


class Replies:
    """A proxy that answers with fixed words."""

    def __init__(self, reply: object) -> None:
        self.reply = reply

    def __call__(self, *, timeout: float) -> Replies:
        return self

    def handle(self, op: str, body: bytes) -> bytes:
        return self.reply  # type: ignore[return-value]


def fabric_of(*handlers: Echo, **options: object) -> FlareFabric:
    return FlareFabric({handler.site: Direct(handler) for handler in handlers}, CallError, **options)  # type: ignore[arg-type]


@contextlib.contextmanager
def chunks_of(whole_bytes: int, chunk_bytes: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module in (flare, flare_site, flare_wire):
            for name, value in (("WHOLE_BYTES", whole_bytes), ("CHUNK_BYTES", chunk_bytes)):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, value))
        yield


def test_answers_come_in_the_order_asked_for_whoever_is_first() -> None:
    finished = []

    def act(site: str) -> None:
        time.sleep({"a": 0.2, "b": 0.1, "c": 0.0}[site])
        finished.append(site)

    fabric = fabric_of(Echo("a", act), Echo("b", act), Echo("c", act))
    answers = list(fabric.gather(("a", "b", "c"), "echo", Message({"x": 1}), 5.0))
    fabric.close()
    assert [answer.site for answer in answers] == ["a", "b", "c"]
    assert finished == ["c", "b", "a"]
    assert answers[0].message == Message({"x": 1, "op": "echo", "site": "a"}, {})


def test_sites_are_sorted_and_events_are_told_once() -> None:
    fabric = fabric_of(Echo("b"), Echo("a"), mended=("job 1 broke",))
    assert fabric.sites() == ("a", "b")
    assert fabric.events() == ["job 1 broke"]
    assert fabric.events() == []


def test_no_more_sites_are_called_than_the_window_holds() -> None:
    called: list[str] = []
    fabric = fabric_of(*(Echo(f"s{i}", called.append) for i in range(6)), window=2)
    answers = fabric.gather(fabric.sites(), "echo", Message(), 5.0)
    next(answers)
    time.sleep(0.1)
    assert len(called) <= 3
    assert len(list(answers)) == 5
    assert sorted(called) == list(fabric.sites())


@settings(max_examples=40, deadline=None)
@given(size=st.integers(0, 700), whole=st.integers(80, 300), chunk=st.integers(30, 200))
def test_a_frame_of_any_size_comes_back_unchanged(size: int, whole: int, chunk: int) -> None:
    handler = Echo("a")
    proxy = Direct(handler)
    sent = {"x": np.arange(size, dtype=np.uint8)}
    with chunks_of(whole, chunk):
        fabric = FlareFabric({"a": proxy}, CallError)
        (answer,) = fabric.gather(("a",), "echo", Message({"k": "v"}, sent), 5.0)
        fabric.close()
    assert answer.failure is None
    assert answer.message is not None
    np.testing.assert_array_equal(answer.message.tensors["x"], sent["x"])
    head_bytes = 200
    assert proxy.longest_bytes <= max(whole, chunk) + head_bytes
    assert proxy.most_at_once <= flare_wire.CHUNKS_IN_FLIGHT


def test_long_frames_travel_in_chunks_and_short_ones_in_one_call() -> None:
    proxy = Direct(Echo("a"))
    fabric = FlareFabric({"a": proxy}, CallError)
    with chunks_of(1000, 400):
        list(fabric.gather(("a",), "echo", Message({}, {"x": np.zeros(100, np.uint8)}), 5.0))
        assert proxy.steps == ["call"]
        proxy.steps.clear()
        list(fabric.gather(("a",), "echo", Message({}, {"x": np.zeros(1700, np.uint8)}), 5.0))
    assert sorted(proxy.steps) == ["call_pushed", *["pull"] * 5, *["push"] * 5]


def test_no_call_is_unlimited() -> None:
    proxy = Direct(Echo("a"))
    fabric = FlareFabric({"a": proxy}, CallError)
    list(fabric.gather(("a",), "echo", Message(), None))
    assert 0 < proxy.timeouts_s[0] <= LONGEST_CALL_S


def test_a_site_that_raises_fails_alone_and_tells_nothing_of_its_data() -> None:
    def burst(_: str) -> None:
        raise KeyError("patient Jane Doe")

    def refuse(_: str) -> None:
        raise SiteError("site b has no training images")

    fabric = fabric_of(Echo("a", burst), Echo("b", refuse), Echo("c"))
    failures = [answer.failure for answer in fabric.gather(fabric.sites(), "echo", Message(), 5.0)]
    assert failures == [
        "site a failed with KeyError; its own log holds the details",
        "site b has no training images",
        None,
    ]


def test_a_site_that_is_late_fails_alone() -> None:
    late = Raises(CallError(TimeoutError("timed out")), after_s=0.2)
    fabric = FlareFabric({"a": late, "b": Direct(Echo("b"))}, CallError)
    answers = list(fabric.gather(("a", "b"), "train", Message(), 0.2))
    assert answers[0].failure == "site a did not answer 'train' within 0.2 s"
    assert answers[1].failure is None


def test_a_call_that_fails_while_the_job_goes_on_fails_alone() -> None:
    broken = Raises(CallError("no such method\n  File secret.py"))
    with mock.patch.object(flare, "ABORT_GRACE_S", 0.1):
        fabric = FlareFabric({"a": broken, "b": Direct(Echo("b"))}, CallError)
        answers = list(fabric.gather(("a", "b"), "train", Message(), 5.0))
    assert answers[0].failure == "site a could not be called: no such method"
    assert answers[1].failure is None


def test_a_call_cut_off_by_the_end_of_the_job_is_no_failure_of_the_site() -> None:
    """FLARE reports a time-out, long before the time is out, when a job dies under a call."""
    ended = threading.Event()
    threading.Timer(0.1, ended.set).start()
    fabric = FlareFabric({"a": Raises(CallError(TimeoutError("timed out")))}, CallError, ended.is_set)
    with pytest.raises(FabricDown, match="the FLARE job ended while site a was called"):
        list(fabric.gather(("a",), "train", Message(), 60.0))


def test_anything_else_means_that_the_job_is_over() -> None:
    fabric = FlareFabric({"a": Raises(AbortedError("run is aborted"))}, CallError)
    with pytest.raises(FabricDown, match=r"\(run is aborted\)"):
        list(fabric.gather(("a",), "train", Message(), 60.0))


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "text",
        b"",
        b"\xff\xff\xff\xff",
        pack({}),
        pack({"size_bytes": -1}),
        pack({"size_bytes": True}),
        pack({"size_bytes": 2**40}),
        pack({"size_bytes": 4}, b"junk"),
        pack({"size_bytes": 9 * 2**20}),
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x02\xff\xff",
    ],
)
def test_a_site_that_answers_garbage_fails_alone(reply: object) -> None:
    fabric = FlareFabric({"a": Replies(reply), "b": Direct(Echo("b"))}, CallError)
    answers = list(fabric.gather(("a", "b"), "train", Message(), 5.0))
    assert answers[0].message is None
    assert answers[0].failure
    assert answers[1].failure is None


def test_what_a_site_says_is_cut_to_one_bounded_line() -> None:
    fabric = FlareFabric({"a": Replies(pack({"failure": "\x1b[2Jboo" + "o" * 10_000 + "\nmore"}))}, CallError)
    (answer,) = fabric.gather(("a",), "train", Message(), 5.0)
    assert answer.failure is not None
    assert len(answer.failure) <= MAX_FAILURE_LETTERS
    assert answer.failure.isprintable()
    assert "more" not in answer.failure


def test_a_site_outside_the_job_fails_alone() -> None:
    fabric = fabric_of(Echo("a"))
    answers = list(fabric.gather(("a", "ghost"), "echo", Message(), 5.0))
    assert [answer.failure for answer in answers] == [None, "site ghost is not connected"]


def test_a_deadline_holds_for_all_chunks_together() -> None:
    class Slow(Direct):
        def handle(self, op: str, body: bytes) -> bytes:
            time.sleep(0.15)
            return super().handle(op, body)

    fabric = FlareFabric({"a": Slow(Echo("a"))}, CallError)
    with chunks_of(100, 100):
        (answer,) = fabric.gather(("a",), "echo", Message({}, {"x": np.zeros(2000, np.uint8)}), 0.3)
    assert answer.failure == "site a did not answer 'echo' within 0.3 s"


def test_closing_twice_is_fine_and_calling_afterwards_is_not() -> None:
    fabric = fabric_of(Echo("a"))
    fabric.close()
    fabric.close()
    with pytest.raises(FabricDown, match="closed"):
        list(fabric.gather(("a",), "echo", Message(), 5.0))


@given(head=st.dictionaries(st.text(), st.integers() | st.text()), payload=st.binary())
def test_packing_is_undone_by_unpacking(head: dict[str, object], payload: bytes) -> None:
    got, rest = unpack(pack(head, payload))
    assert (got, bytes(rest)) == (head, payload)
