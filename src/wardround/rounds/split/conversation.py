"""A site's work that waits for the body in its middle, over a fabric on which only the coordinator's side calls."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import torch

from wardround.core.codec import Message
from wardround.rounds.split.asks import Ask, Wire, is_ask
from wardround.rounds.split.forms import Shape


class Conversation:
    """Carries out one operation in a thread of its own, which rests whenever it has asked the body for something.

    The thread runs only inside of `begin` and `go_on`, so two of them never run at once, and it takes its state of
    torch's generator along: what a site draws depends on no other site of its process. Implements `halves.BodyLink`.

    Attributes:
        wire: writes and reads what crosses the cut.
    """

    def __init__(self, wire: Wire, work: Callable[[], Message]) -> None:
        """Prepare to carry out `work`, whose network has this as its link."""
        self.wire = wire
        self._work = work
        self._told: queue.SimpleQueue[Message | Exception] = queue.SimpleQueue()
        self._given: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._sent: Shape = (0, 0, 0, 0)
        self.is_over = False

    def begin(self) -> Message:
        """Start, and return the first ask, or the answer if nothing was asked."""
        self._thread.start()
        return self._heard()

    def go_on(self, reply: Message) -> Message:
        """Give the body's answer, and return the next ask, or the answer of the operation."""
        self._given.put(reply)
        return self._heard()

    def abandon(self) -> None:
        """End it where it rests; what it had done is lost."""
        if not self.is_over:
            self._given.put(None)
            self._thread.join()
            self.is_over = True

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        """Ask for the body's output; see `BodyLink.forward`."""
        self._sent = _shape(activation)
        return self._asked(Ask.FORWARD, activation)

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        """Ask for the activation's gradient; see `BodyLink.backward`."""
        return self._asked(Ask.BACKWARD, gradient)

    def look(self, activation: torch.Tensor) -> torch.Tensor:
        """Ask for the body's output; see `BodyLink.look`."""
        self._sent = _shape(activation)
        return self._asked(Ask.LOOK, activation)

    def _asked(self, kind: Ask, tensor: torch.Tensor) -> torch.Tensor:
        drawn = torch.random.get_rng_state()
        self._told.put(self.wire.ask(kind, tensor))
        reply = self._given.get()
        if reply is None:
            raise _AbandonedError
        torch.random.set_rng_state(drawn)
        return self.wire.read_answer(reply, kind, self._sent).to(tensor.device)

    def _heard(self) -> Message:
        told = self._told.get()
        if isinstance(told, Exception):
            self.is_over = True
            raise told
        self.is_over = not is_ask(told)
        return told

    def _run(self) -> None:
        try:
            self._told.put(self._work())
        except _AbandonedError:
            return
        except Exception as error:  # whatever the work raises is raised where its answer is waited for
            self._told.put(error)


def _shape(activation: torch.Tensor) -> Shape:
    images, channels, height, width = activation.shape
    return images, channels, height, width


class _AbandonedError(BaseException):
    """Nobody waits for this work any more. Not an `Exception`: no handler on the way may take it for a failure."""
