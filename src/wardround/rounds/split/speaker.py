"""A site's end of the cut: lets its operations wait for the body between two calls."""

from __future__ import annotations

from collections.abc import Callable

import torch

from wardround.core.codec import Message
from wardround.errors import SiteError
from wardround.rounds.split.asks import Wire
from wardround.rounds.split.conversation import Conversation
from wardround.rounds.workbench import Workbench

Operation = Callable[[Message], Message]


class Speaker:
    """One conversation at a time; a new operation ends one that was left off.

    Attributes:
        bench: holds head and tail.
        wire: what crosses the cut.
        seed: of what an operation draws that has no seed of its own: noise on what is only looked at.
    """

    def __init__(self, bench: Workbench, wire: Wire, seed: int) -> None:
        self.bench = bench
        self.wire = wire
        self.seed = seed
        self._talk: Conversation | None = None

    def around(self, operation: Operation) -> Operation:
        """Return `operation` as one that answers with an ask whenever its network needs the body."""

        def begin(body: Message) -> Message:
            if self._talk is not None:
                self._talk.abandon()
            self._talk = Conversation(self.wire, lambda: self._carried_out(operation, body))
            self.bench.connect(self._talk)
            return self._talk.begin()

        return begin

    def _carried_out(self, operation: Operation, body: Message) -> Message:
        torch.set_num_threads(1)  # as in `Workbench`; a new thread may not have heard of it
        torch.manual_seed(self.seed)
        return operation(body)

    def go_on(self, body: Message) -> Message:
        """Go on with the body's answer.

        Raises:
            SiteError: nothing was asked.
        """
        if self._talk is None or self._talk.is_over:
            raise SiteError("this site asked the body for nothing: its round must begin anew")
        return self._talk.go_on(body)
