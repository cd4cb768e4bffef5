"""A fabric with a body host between: sites ask it for the body, and whoever calls hears their last answers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from wardround.algorithms.base import Order
from wardround.core.codec import Message
from wardround.errors import WireError
from wardround.fabric.base import Answer, Body, Fabric, addressed
from wardround.rounds.split.asks import GO_ON, is_ask
from wardround.rounds.split.body_host import BodyHost

TRAIN, EVALUATE = "train", "evaluate"


class Between:
    """A `Fabric` around a fabric: `train` and `evaluate` become conversations with a body host.

    Sites are served in an order that follows from the plan alone, so that no bit depends on which of them is faster;
    those that do not wait for each other are called together, and compute at the same time where there are workers.

    Attributes:
        host: answers what sites ask.
        events_told: sentences about sites that were lost in the middle of a round.
    """

    def __init__(self, fabric: Fabric, host: BodyHost) -> None:
        self._fabric = fabric
        self.host = host
        self.events_told: list[str] = []
        self._ways: Mapping[Order, Callable[..., dict[str, Answer]]] = {
            Order.TOGETHER: self._together,
            Order.IN_TURN: self._in_turn,
            Order.INTERLEAVED: self._interleaved,
        }

    def sites(self) -> tuple[str, ...]:
        """Return the sites' names; see `Fabric.sites`."""
        return self._fabric.sites()

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """Call, and see to it that whoever asks for the body is answered; see `Fabric.gather`."""
        if op == TRAIN:
            answers = self._ways[self.host.work.order](sites, op, body, timeout_s)
            for site in sites:
                yield self._ended(answers.pop(site))
        elif op == EVALUATE:
            self.host.begin_looks()
            answers = self._together(sites, op, body, timeout_s)
            yield from (answers.pop(site) for site in sites)
        else:
            yield from self._fabric.gather(sites, op, body, timeout_s)

    def events(self) -> list[str]:
        """Return what was mended, and who was lost; see `Fabric.events`."""
        told, self.events_told = self.events_told, []
        return [*self._fabric.events(), *told]

    def close(self) -> None:
        """Close the fabric."""
        self._fabric.close()

    def _together(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> dict[str, Answer]:
        answers = {answer.site: answer for answer in self._fabric.gather(sites, op, body, timeout_s)}
        while asking := [site for site in sites if _asks(answers[site])]:
            replies: dict[str, Message] = {}
            for site in asking:
                self._serve(answers, site, replies)
            for answer in self._fabric.gather(list(replies), GO_ON, replies, timeout_s):
                answers[answer.site] = answer
        return answers

    def _in_turn(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> dict[str, Answer]:
        message_of = addressed(sites, body)
        answers: dict[str, Answer] = {}
        for site in self.host.turns(sites):
            self.host.turn(site)
            answers |= self._together([site], op, message_of(site), timeout_s)
            self._note(answers[site])
        return answers

    def _interleaved(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> dict[str, Answer]:
        answers = {answer.site: answer for answer in self._fabric.gather(sites, op, body, timeout_s)}
        for site in self.host.schedule(sites):
            for _ in range(2):  # an activation, then a gradient: nobody else's batch comes between the two
                if _asks(answers[site]):
                    self._answer(answers, site, timeout_s)
        for site in sites:
            if _asks(answers[site]):
                answers[site] = Answer(site, failure="the site asks for more steps than its plan gives it")
        return answers

    def _answer(self, answers: dict[str, Answer], site: str, timeout_s: float | None) -> None:
        replies: dict[str, Message] = {}
        self._serve(answers, site, replies)
        for answer in self._fabric.gather(list(replies), GO_ON, replies, timeout_s):
            answers[site] = answer

    def _serve(self, answers: dict[str, Answer], site: str, replies: dict[str, Message]) -> None:
        """Put the reply to a site's ask into `replies`, or its failure into `answers`."""
        message = answers[site].message
        if message is None:
            return
        try:
            replies[site] = self.host.reply(site, message)
        except WireError as error:
            answers[site] = Answer(site, failure=str(error))

    def _ended(self, answer: Answer) -> Answer:
        self._note(answer)
        return answer

    def _note(self, answer: Answer) -> None:
        """Let a lost site go from the body host's round, once."""
        if answer.message is not None or not self.host.seats(answer.site):
            return
        kept = self.host.lose(answer.site)
        if kept:
            self.events_told.append(
                f"site {answer.site} was lost in the middle of a round: the body keeps the {kept} steps it took with it"
            )


def _asks(answer: Answer) -> bool:
    return answer.message is not None and is_ask(answer.message)
