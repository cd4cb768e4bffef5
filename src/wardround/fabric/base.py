"""Bytes between the coordinator and the sites: the one seam that a study and a deployment share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wardround.core.codec import Message, encode

MAX_FAILURE_LETTERS = 500

Body = Message | Mapping[str, Message]
"""What a call says: the same to all its sites, or to each site something of its own."""


class Handler(Protocol):
    """A site as a fabric sees it: long-lived, one operation at a time."""

    def handle(self, op: str, body: Message) -> Message:
        """Carry out `op` and return its answer.

        Raises:
            WardroundError: this site cannot answer.
        """
        ...


@dataclass(frozen=True)
class Answer:
    """What one site answered: a message, or the one sentence that says why there is none."""

    site: str
    message: Message | None = None
    failure: str | None = None


class Fabric(Protocol):
    """Carries calls to sites. `LocalFabric` and `FlareFabric` join one contract suite."""

    def sites(self) -> tuple[str, ...]:
        """Names of the sites that can be called, sorted."""
        ...

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """Call `op` at every one of `sites` and yield one answer each, *in the order of* `sites`.

        Answers stream through a bounded window, so memory does not grow with the number of sites. A site that raises,
        hangs past `timeout_s` or answers with an illegal frame yields an `Answer` with `failure` set, and fails alone.

        Raises:
            FabricDown: the processes or connections themselves are gone.
            ValueError: `body` holds no message for one of `sites`; then none was called.
        """
        ...

    def events(self) -> list[str]:
        """Return, and forget, sentences about what the fabric had to mend since the last call (restarts, retries)."""
        ...

    def close(self) -> None:
        """End every process and connection the fabric started. Safe to call twice."""
        ...


def addressed(sites: Sequence[str], body: Body) -> Callable[[str], Message]:
    """Return what gives each of `sites` its message.

    Raises:
        ValueError: `body` holds no message for one of them.
    """
    if isinstance(body, Message):
        return lambda _: body
    for site in sites:
        if site not in body:
            raise ValueError(f"site {site} is to be called, but there is no message for it")
    return body.__getitem__


def framed(sites: Sequence[str], body: Body) -> Callable[[str], bytes]:
    """Return what gives each of `sites` its frame; one that goes to all is written once, and is the same object.

    Raises:
        ValueError: `body` holds no message for one of them.
    """
    message_of = addressed(sites, body)
    if isinstance(body, Message):
        frame = encode(body)
        return lambda _: frame
    return lambda site: encode(message_of(site))


def bounded(text: str) -> str:
    """Cut another party's words so that it decides neither their length nor what a terminal does with them."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_FAILURE_LETTERS])
