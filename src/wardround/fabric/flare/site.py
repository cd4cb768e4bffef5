"""A site's end of the FLARE fabric: calls and chunks in, answers out. Knows nothing of FLARE itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from wardround.core.codec import MAX_FRAME_BYTES, Message, decode, encode
from wardround.errors import DataError, SiteError, WardroundError, WireError
from wardround.fabric.base import Handler
from wardround.fabric.flare.wire import (
    CHUNK_BYTES,
    WHOLE_BYTES,
    Assembly,
    Head,
    offsets,
    op_name,
    pack,
    seconds,
    sentence,
    unpack,
    whole_number,
)

_LOG = logging.getLogger(__name__)


class SiteEnd:
    """Answers the calls of `wardround.fabric.flare.wire`; up to 100 threads may call at once.

    One frame at a time is held in each direction. A transfer that a newer one overtakes is dropped, so that calls
    which the coordinator gave up never pile up in memory.
    """

    def __init__(self, site: str, open_site: Callable[[], Handler]) -> None:
        """Prepare to answer as `site`.

        Args:
            site: name of this site.
            open_site: builds the site; called at the first call, and again after it failed.
        """
        self._site = site
        self._open = open_site
        self._handler: Handler | None = None
        self._one_call = threading.Lock()
        self._transfers = threading.Lock()
        self._coming: Assembly | None = None
        self._leaving: _Leaving | None = None
        self._newest = 0
        self._steps: Mapping[str, Callable[[Head, memoryview], bytes]] = {
            "call": self._call,
            "push": self._push,
            "call_pushed": self._call_pushed,
            "pull": self._pull,
        }

    def handle(self, op: object, body: object) -> bytes:
        """Answer one FLARE call; every failure is an answer too, because FLARE would ship its traceback."""
        try:
            step = self._steps.get(op) if isinstance(op, str) else None
            if step is None:
                raise WireError("a FLARE call names no known step")
            return step(*unpack(body))
        except DataError as error:
            # Its sentence may name a patient or a path, which stay in the hospital.
            _LOG.error("site %s cannot use its data: %s", self._site, error)
            return pack({"failure": f"site {self._site} cannot use its data; its own log says why"})
        except WardroundError as error:
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            _LOG.error("site %s could not answer: %s%s", self._site, error, cause)
            return pack({"failure": sentence(str(error))})
        except Exception as error:
            _LOG.exception("site %s failed in a call", self._site)
            kind = type(error).__name__
            return pack({"failure": f"site {self._site} failed with {kind}; its own log holds the details"})

    def _call(self, head: Head, frame: bytes | bytearray | memoryview) -> bytes:
        number, op, wait_s = whole_number(head, "number"), op_name(head), seconds(head, "wait_s")
        if not self._one_call.acquire(timeout=wait_s):
            raise SiteError(f"site {self._site} is still busy with an earlier call")
        try:
            # `decode` slices bytes; a view would not do, and chunked frames are long, so convert exactly once.
            answer = self._opened().handle(op, decode(bytes(frame)))
        finally:
            self._one_call.release()
        return self._reply(number, self._framed(answer))

    def _call_pushed(self, head: Head, _: memoryview) -> bytes:
        number = whole_number(head, "number")
        with self._transfers:
            coming, self._coming = self._coming, None
        if coming is None or coming.number != number:
            raise WireError(f"call {number} was overtaken by another")
        return self._call(head, coming.take())

    def _push(self, head: Head, chunk: memoryview) -> bytes:
        number, size_bytes = whole_number(head, "number"), whole_number(head, "size_bytes", MAX_FRAME_BYTES)
        offset = whole_number(head, "offset", MAX_FRAME_BYTES)
        with self._transfers:
            self._overtake(number)
            if self._coming is None:
                self._coming = Assembly(number, size_bytes)
            if self._coming.size_bytes != size_bytes:
                raise WireError(f"call {number} changed its size")
            self._coming.put(offset, chunk)
        return pack({})

    def _pull(self, head: Head, _: memoryview) -> bytes:
        number, offset = whole_number(head, "number"), whole_number(head, "offset", MAX_FRAME_BYTES)
        with self._transfers:
            leaving = self._leaving
            if leaving is None or leaving.number != number:
                raise WireError(f"the answer to call {number} is no longer held")
            chunk = leaving.chunk(offset)
            if leaving.finished:
                self._leaving = None
        return pack({}, chunk)

    def _reply(self, number: int, answer: bytes) -> bytes:
        if len(answer) <= WHOLE_BYTES:
            return pack({"size_bytes": len(answer)}, answer)
        with self._transfers:
            self._overtake(number)
            self._leaving = _Leaving(number, answer)
        return pack({"size_bytes": len(answer)})

    def _framed(self, answer: Message) -> bytes:
        try:
            return encode(answer)
        except ValueError as error:
            raise SiteError(f"the answer of site {self._site} cannot be sent") from error

    def _overtake(self, number: int) -> None:
        if number < self._newest:
            raise WireError(f"call {number} was overtaken by call {self._newest}")
        if number > self._newest:
            self._newest, self._coming, self._leaving = number, None, None

    def _opened(self) -> Handler:
        if self._handler is None:
            self._handler = self._open()
        return self._handler


class _Leaving:
    """An answer that waits to be pulled, chunk by chunk."""

    def __init__(self, number: int, frame: bytes) -> None:
        self.number = number
        self._frame = memoryview(frame)
        self._held = set(offsets(len(frame)))

    @property
    def finished(self) -> bool:
        """Whether every chunk was pulled."""
        return not self._held

    def chunk(self, offset: int) -> memoryview:
        """Hand out the chunk at `offset`, once."""
        if offset not in self._held:
            raise WireError(f"chunk {offset} of an answer is misplaced or was pulled before")
        self._held.discard(offset)
        return self._frame[offset : offset + CHUNK_BYTES]
