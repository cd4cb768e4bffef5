from __future__ import annotations

import threading

import pytest
import torch

from wardround.core.codec import Message
from wardround.errors import SiteError, WireError
from wardround.rounds.split.asks import Ask, Wire, is_ask
from wardround.rounds.split.conversation import Conversation
from wardround.rounds.split.forms import FORMS

WIRE = Wire(FORMS["float32"], 2, 3)
SENT = torch.ones(1, 2, 4, 4)
GOT = torch.ones(1, 3, 4, 4)


def talk(work: object) -> Conversation:
    made: list[Conversation] = []
    made.append(Conversation(WIRE, lambda: work(made[0])))  # type: ignore[operator]
    return made[0]


def draws(link: Conversation) -> Message:
    torch.manual_seed(7)
    found = [torch.rand(1).item()]
    for _ in range(2):
        link.forward(SENT)
        found.append(torch.rand(1).item())
        link.backward(GOT)
        found.append(torch.rand(1).item())
    return Message({"drawn": found})


def test_two_conversations_draw_what_each_draws_alone() -> None:
    torch.manual_seed(7)
    expected = [torch.rand(1).item() for _ in range(5)]
    talks = [talk(draws), talk(draws)]
    heard = [each.begin() for each in talks]
    while any(is_ask(message) for message in heard):
        torch.rand(3)  # somebody else draws, too
        kinds = [WIRE.read_ask(message)[0] for message in heard]
        replies = [WIRE.answer(GOT if kind is Ask.FORWARD else SENT) for kind in kinds]
        heard = [each.go_on(reply) for each, reply in zip(talks, replies, strict=True)]
    assert [message.fields["drawn"] for message in heard] == [expected, expected]
    assert all(each.is_over for each in talks)


def test_what_the_work_raises_is_raised_where_its_answer_is_awaited() -> None:
    def fails(link: Conversation) -> Message:
        link.look(SENT)
        raise SiteError("the disk is full")

    conversation = talk(fails)
    conversation.begin()
    with pytest.raises(SiteError, match="the disk is full"):
        conversation.go_on(WIRE.answer(GOT))
    assert conversation.is_over


def test_a_bad_reply_ends_it_by_name() -> None:
    conversation = talk(draws)
    conversation.begin()
    with pytest.raises(WireError, match=r"the body's answer has shape \(2, 3, 4, 4\), not \(1, 3, 4, 4\)"):
        conversation.go_on(WIRE.answer(torch.ones(2, 3, 4, 4)))


def test_one_that_is_abandoned_leaves_no_thread() -> None:
    before = threading.active_count()
    conversation = talk(draws)
    conversation.begin()
    assert threading.active_count() == before + 1
    conversation.abandon()
    assert threading.active_count() == before
    conversation.abandon()


def test_abandoned_in_a_backward_pass_it_ends_too() -> None:
    from wardround.tasks.models.halves import _OverLink

    def backwards(link: Conversation) -> Message:
        value = SENT.clone().requires_grad_()
        _OverLink.apply(value, link).sum().backward()  # type: ignore[no-untyped-call]
        raise AssertionError("nobody answered")

    before = threading.active_count()
    conversation = talk(backwards)
    conversation.begin()
    assert WIRE.read_ask(conversation.go_on(WIRE.answer(GOT)))[0] is Ask.BACKWARD
    conversation.abandon()
    assert threading.active_count() == before
