"""Sites in this process."""

from __future__ import annotations

import numpy as np
import pytest
from contracts.fabric_contract import SITES, asking, open_actor

from wardround.core.codec import Message, encode
from wardround.fabric.base import MAX_FAILURE_LETTERS, Answer, Handler
from wardround.fabric.local import LocalFabric, packed, unpacked


def test_a_site_is_opened_once_and_at_its_first_call() -> None:
    opened: list[str] = []

    def open_site(site: str) -> Handler:
        opened.append(site)
        return open_actor(site)

    fabric = LocalFabric(SITES, open_site)
    assert opened == []
    for _ in range(2):
        list(fabric.gather(("west", "east"), "greet", asking(), None))
    assert opened == ["west", "east"]
    fabric.close()
    list(fabric.gather(("west",), "greet", asking(), None))
    assert opened == ["west", "east", "west"]


@pytest.mark.parametrize("encoded", [False, True])
def test_encoding_decides_whether_arrays_are_shared(encoded: bool) -> None:
    body = asking()
    (answer,) = LocalFabric(SITES, open_actor, encoded).gather(("east",), "greet", body, None)
    assert answer.message is not None
    assert (answer.message.tensors["x"] is body.tensors["x"]) is not encoded


def test_an_answer_survives_packing() -> None:
    message = Message({"a": [1, None]}, {"x": np.arange(3)})
    found = unpacked("east", packed(Answer("east", message)))
    assert (found.site, found.failure) == ("east", None)
    assert found.message is not None
    assert found.message.fields == message.fields
    np.testing.assert_array_equal(found.message.tensors["x"], [0, 1, 2])


def test_a_failure_survives_packing_in_one_bounded_line() -> None:
    found = unpacked("east", packed(Answer("east", failure="it \x1b[31mbroke\nbadly " + "x" * 10_000)))
    assert found.message is None
    assert found.failure is not None
    assert found.failure.startswith("it  [31mbroke badly xxx")
    assert len(found.failure) == MAX_FAILURE_LETTERS


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"garbage",
        encode(Message({"answer": 5})),
        encode(Message({"answer": None})),
        encode(Message()),
        encode(Message({"failure": {"deep": [1]}})),
    ],
)
def test_a_frame_that_is_no_answer_is_a_failure(frame: bytes) -> None:
    found = unpacked("east", frame)
    assert found.message is None
    assert found.failure
