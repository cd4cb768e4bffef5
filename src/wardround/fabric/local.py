"""Sites on this machine: in this process, or in worker processes that are started once and stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from wardround.core.codec import Message, decode, encode
from wardround.errors import WardroundError
from wardround.fabric.base import Answer, Body, Handler, addressed, bounded, framed

Opener = Callable[[str], Handler]
"""Opens the site of a name."""


class SiteHost:
    """Sites that share a process; each is opened at its first call.

    Attributes:
        open_site: opens the site of a name.
    """

    def __init__(self, open_site: Opener) -> None:
        self.open_site = open_site
        self._open: dict[str, Handler] = {}

    def call(self, site: str, op: str, body: Message) -> Answer:
        """Call `op` at `site`; whatever the site raises becomes its failure."""
        try:
            if site not in self._open:
                self._open[site] = self.open_site(site)
            return Answer(site, self._open[site].handle(op, body))
        except WardroundError as error:
            return Answer(site, failure=str(error))
        except Exception as error:  # whatever a site raises is that site's failure, by name
            return Answer(site, failure=f"{op} failed at this site: {type(error).__name__}: {error}")


class LocalFabric:
    """Sites in this process, one call at a time. `timeout_s` cannot be kept here: use `WorkerFabric` for that.

    Attributes:
        encoded: pass every message through the wire format, as between machines.
    """

    def __init__(self, names: Sequence[str], open_site: Opener, encoded: bool = False) -> None:
        self._names = tuple(sorted(names))
        self._host = SiteHost(open_site)
        self.encoded = encoded

    def sites(self) -> tuple[str, ...]:
        """Return the sites' names, sorted."""
        return self._names

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """Call the sites one after the other; see `Fabric.gather`."""
        if not self.encoded:
            message_of = addressed(sites, body)
            for site in sites:
                yield self._host.call(site, op, message_of(site))
            return
        frames = framed(sites, body)
        held, sent = b"", Message()
        for site in sites:
            frame = frames(site)
            if frame is not held:
                held, sent = frame, decode(frame)
            yield unpacked(site, packed(self._host.call(site, op, sent)))

    def events(self) -> list[str]:
        """Return nothing: there is nothing to mend in one process."""
        return []

    def close(self) -> None:
        """Forget the sites."""
        self._host = SiteHost(self._host.open_site)


def packed(answer: Answer) -> bytes:
    """Write an answer as a frame; one that the wire format does not carry becomes a failure."""
    if answer.message is None:
        return encode(Message({"failure": bounded(answer.failure or "no answer")}))
    try:
        return encode(Message({"answer": dict(answer.message.fields)}, answer.message.tensors))
    except ValueError as error:
        return encode(Message({"failure": bounded(f"the answer cannot be sent: {error}")}))


def unpacked(site: str, frame: bytes) -> Answer:
    """Read an answer's frame; bytes that are no legal answer are that site's failure."""
    try:
        message = decode(frame)
    except WardroundError as error:
        return Answer(site, failure=f"the answer is not a legal frame: {error}")
    fields = message.fields.get("answer")
    if isinstance(fields, dict):
        return Answer(site, Message(fields, message.tensors))
    failure = message.fields.get("failure", "the answer holds neither an answer nor a failure")
    return Answer(site, failure=bounded(str(failure)))
