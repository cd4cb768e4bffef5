"""A site's end of the FLARE fabric: limits, transfers, and calls that nobody waits for any more."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.core.codec import Message, decode, encode
from wardround.errors import DataError, TrustError, WireError
from wardround.fabric.flare.site import SiteEnd
from wardround.fabric.flare.wire import CHUNK_BYTES, Assembly, Head, pack, unpack

LONG = encode(Message({}, {"x": np.arange(9 * 2**20, dtype=np.uint8)}))


class Site:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def handle(self, op: str, body: Message) -> Message:
        self.calls.append(op)
        self.may_answer.wait(5.0)
        return Message(body.fields, body.tensors)


def call(end: SiteEnd, step: str, payload: bytes = b"", **head: object) -> tuple[Head, bytes]:
    answer, rest = unpack(end.handle(step, pack(head, payload)))
    return answer, bytes(rest)


def push(end: SiteEnd, number: int, offset: int, frame: bytes = LONG) -> Head:
    chunk = frame[offset : offset + CHUNK_BYTES]
    return call(end, "push", chunk, number=number, size_bytes=len(frame), offset=offset)[0]


def site_end() -> tuple[SiteEnd, Site]:
    site = Site()
    return SiteEnd("a", lambda: site), site


def test_a_pushed_frame_is_called_and_its_answer_pulled_in_any_order() -> None:
    end, _ = site_end()
    assert push(end, 1, CHUNK_BYTES) == {}
    assert push(end, 1, 0) == {}
    head, payload = call(end, "call_pushed", op="echo", number=1, wait_s=1.0)
    assert head == {"size_bytes": len(LONG)}
    assert payload == b""
    second = call(end, "pull", number=1, offset=CHUNK_BYTES)[1]
    first = call(end, "pull", number=1, offset=0)[1]
    np.testing.assert_array_equal(decode(first + second).tensors["x"], decode(LONG).tensors["x"])
    assert "no longer held" in call(end, "pull", number=1, offset=0)[0]["failure"]


def test_an_incomplete_frame_is_never_called() -> None:
    end, site = site_end()
    push(end, 1, 0)
    assert "1 chunks" in call(end, "call_pushed", op="echo", number=1, wait_s=1.0)[0]["failure"]
    assert site.calls == []


def test_a_newer_transfer_drops_an_unfinished_one_for_good() -> None:
    end, _ = site_end()
    push(end, 1, 0)
    push(end, 2, 0)
    assert "overtaken" in push(end, 1, CHUNK_BYTES)["failure"]
    assert "overtaken" in call(end, "call_pushed", op="echo", number=1, wait_s=1.0)[0]["failure"]


def test_a_busy_site_refuses_a_call_that_would_wait_too_long() -> None:
    end, site = site_end()
    site.may_answer.clear()
    first = threading.Thread(target=call, args=(end, "call", encode(Message())), kwargs=_calling(1, "hang"))
    first.start()
    while not site.calls:
        pass
    assert "busy" in call(end, "call", encode(Message()), **_calling(2, "next", 0.05))[0]["failure"]
    site.may_answer.set()
    first.join()
    assert "failure" not in call(end, "call", encode(Message()), **_calling(3, "next"))[0]
    assert site.calls == ["hang", "next"]


def test_a_site_that_could_not_open_is_opened_again() -> None:
    attempts = []

    def open_site() -> Site:
        attempts.append(1)
        if len(attempts) == 1:
            raise DataError("patient P-17 is in two parts")
        return Site()

    end = SiteEnd("a", open_site)
    refusal = call(end, "call", encode(Message()), **_calling(1, "hello"))[0]
    assert refusal == {"failure": "site a cannot use its data; its own log says why"}, "a patient's name stays here"
    assert "failure" not in call(end, "call", encode(Message()), **_calling(2, "hello"))[0]


def test_the_cause_of_a_refusal_stays_in_the_sites_own_log(caplog: pytest.LogCaptureFixture) -> None:
    def open_site() -> Site:
        raise TrustError("site a cannot use its keys") from TrustError("/home/a/passphrase has mode 0644")

    end = SiteEnd("a", open_site)
    assert call(end, "call", encode(Message()), **_calling(1, "hello"))[0] == {"failure": "site a cannot use its keys"}
    assert "site a cannot use its keys (/home/a/passphrase has mode 0644)" in caplog.text


def test_an_answer_that_cannot_be_sent_is_a_failure_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    class Unsendable:
        def handle(self, op: str, body: Message) -> Message:
            return Message({}, {"Jane Doe": np.zeros(1, np.float16)})

    end = SiteEnd("a", Unsendable)
    head, _ = call(end, "call", encode(Message()), **_calling(1, "hello"))
    assert head == {"failure": "the answer of site a cannot be sent"}
    assert "Jane Doe" in caplog.text


@pytest.mark.parametrize(
    ("step", "head"),
    [
        ("unknown", {}),
        ("call", {"op": "x" * 65, "number": 1, "wait_s": 1.0}),
        ("call", {"op": "x", "number": -1, "wait_s": 1.0}),
        ("call", {"op": "x", "number": 1, "wait_s": float("nan")}),
        ("call", {"op": "x", "number": 1, "wait_s": 1e9}),
        ("push", {"number": 1, "size_bytes": 2**40, "offset": 0}),
        ("push", {"number": 1, "size_bytes": 0, "offset": 0}),
        ("push", {"number": 1, "size_bytes": 100, "offset": 7}),
        ("pull", {"number": 1, "offset": 0}),
    ],
)
def test_calls_outside_the_limits_are_refused(step: str, head: dict[str, object]) -> None:
    end, site = site_end()
    assert call(end, step, b"abc", **head)[0]["failure"]
    assert site.calls == []


@given(step=st.sampled_from(["call", "push", "call_pushed", "pull"]) | st.text() | st.none(), body=st.binary())
def test_garbage_is_answered_with_a_failure(step: object, body: bytes) -> None:
    end, site = site_end()
    assert unpack(end.handle(step, body))[0]["failure"]
    assert site.calls == []


def test_an_assembly_takes_each_chunk_once_and_at_its_length() -> None:
    coming = Assembly(1, CHUNK_BYTES + 5)
    with pytest.raises(WireError, match="has 4 bytes"):
        coming.put(CHUNK_BYTES, b"abcd")
    coming.put(CHUNK_BYTES, b"abcde")
    with pytest.raises(WireError, match="came twice"):
        coming.put(CHUNK_BYTES, b"abcde")
    with pytest.raises(WireError, match="1 chunks"):
        coming.take()


def _calling(number: int, op: str, wait_s: float = 5.0) -> dict[str, object]:
    return {"op": op, "number": number, "wait_s": wait_s}
