"""The fabric of a deployment: calls travel through NVIDIA FLARE's Collab proxies.

Everything here is plain Python around objects with ``proxy(timeout=…).handle(op, body)``; FLARE itself is imported
only by `wardround.fabric.flare.app`, which runs inside its processes.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from wardround.core.codec import MAX_FRAME_BYTES, decode
from wardround.errors import FabricDown, SiteError, WardroundError, WireError
from wardround.fabric.base import Answer, Body, framed
from wardround.fabric.flare.wire import (
    CHUNK_BYTES,
    CHUNKS_IN_FLIGHT,
    LONGEST_CALL_S,
    WHOLE_BYTES,
    Assembly,
    Head,
    offsets,
    pack,
    sentence,
    unpack,
    whole_number,
)

WINDOW = 16
ABORT_GRACE_S = 10.0


class Published(Protocol):
    """The one function that a site publishes."""

    def handle(self, op: str, body: bytes) -> bytes:
        """Carry one call of `wardround.fabric.flare.wire`."""
        ...


class Proxy(Protocol):
    """FLARE's stand-in for one remote site."""

    def __call__(self, *, timeout: float) -> Published:
        """Return the site's functions, each call limited to `timeout` seconds."""
        ...


class FlareFabric:
    """A `wardround.fabric.base.Fabric` over FLARE's Collab proxies.

    Calls run in threads of our own, at most `window` sites at once; answers come back in the order asked for.
    """

    def __init__(
        self,
        proxies: Mapping[str, Proxy],
        call_failed: type[Exception],
        aborted: Callable[[], bool] = lambda: False,
        mended: Iterable[str] = (),
        window: int = WINDOW,
    ) -> None:
        """Connect to sites.

        Args:
            proxies: site -> proxy.
            call_failed: what a proxy raises when one call failed and the job goes on (``CollabCallError``).
                Whatever else it raises means that the job is over.
            aborted: whether FLARE has ended the job. A call that is cut off by that looks like any failed call.
            mended: sentences about what earlier jobs of this run went through.
            window: most sites with a call in flight, or an answer that waits to be taken.
        """
        self._proxies = dict(sorted(proxies.items()))
        self._link = _Link(call_failed, aborted)
        self._events = list(mended)
        self._window = window
        self._numbers = itertools.count(1)
        self._pool = ThreadPoolExecutor(window, thread_name_prefix="wardround-site")

    def sites(self) -> tuple[str, ...]:
        """Names of the sites of this job, sorted."""
        return tuple(self._proxies)

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """Call `op` at every one of `sites`; see `wardround.fabric.base.Fabric.gather`.

        A site that is not part of this job fails alone. ``timeout_s = None`` means a day: no call is unlimited.
        """
        frames = framed(sites, body)
        limit_s = LONGEST_CALL_S if timeout_s is None else min(timeout_s, LONGEST_CALL_S)
        waiting: deque[Future[Answer]] = deque()
        try:
            for site in sites:
                if len(waiting) == self._window:
                    yield waiting.popleft().result()
                waiting.append(self._submit(site, op, frames(site), limit_s))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def events(self) -> list[str]:
        """Return, and forget, what earlier jobs of this run went through."""
        told, self._events = self._events, []
        return told

    def close(self) -> None:
        """Let go of the threads. The processes belong to FLARE and to the launcher. Safe to call twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, site: str, op: str, frame: bytes, timeout_s: float) -> Future[Answer]:
        try:
            return self._pool.submit(self._ask, site, op, frame, timeout_s)
        except RuntimeError as error:
            raise FabricDown("the fabric is closed; start the run again with --resume") from error

    def _ask(self, site: str, op: str, frame: bytes, timeout_s: float) -> Answer:
        proxy = self._proxies.get(site)
        if proxy is None:
            return Answer(site, failure=f"site {site} is not connected")
        call = _Call(site, op, proxy, self._link, number=next(self._numbers), timeout_s=timeout_s)
        try:
            return Answer(site, message=decode(call.exchange(frame)))
        except (WireError, SiteError) as error:
            return Answer(site, failure=str(error))


@dataclass(frozen=True)
class _Link:
    """How FLARE tells that one call failed, and that everything is over."""

    call_failed: type[Exception]
    aborted: Callable[[], bool]

    def goes_on(self) -> bool:
        """Whether the job survives a call that was cut off; FLARE takes some seconds to end a broken one."""
        deadline = time.monotonic() + ABORT_GRACE_S
        while not self.aborted():
            if time.monotonic() > deadline:
                return True
            time.sleep(0.05)
        return False


class _Call:
    """One call to one site, in one piece or in chunks, within one deadline."""

    def __init__(self, site: str, op: str, proxy: Proxy, link: _Link, *, number: int, timeout_s: float) -> None:
        self._site = site
        self._op = op
        self._proxy = proxy
        self._link = link
        self._number = number
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def exchange(self, frame: bytes) -> bytes:
        """Send `frame`, return the answering frame."""
        if len(frame) <= WHOLE_BYTES:
            head, payload = self._step("call", self._calling(), frame)
        else:
            self._in_flight(lambda offset: self._push(frame, offset), offsets(len(frame)))
            head, payload = self._step("call_pushed", self._calling())
        size_bytes = whole_number(head, "size_bytes", MAX_FRAME_BYTES)
        return bytes(payload) if size_bytes <= WHOLE_BYTES else self._pulled(size_bytes)

    def _calling(self) -> Head:
        return {"op": self._op, "number": self._number, "wait_s": self._left_s()}

    def _push(self, frame: bytes, offset: int) -> None:
        head = {"number": self._number, "size_bytes": len(frame), "offset": offset}
        self._step("push", head, memoryview(frame)[offset : offset + CHUNK_BYTES])

    def _pulled(self, size_bytes: int) -> bytes:
        coming = Assembly(self._number, size_bytes)

        def pull(offset: int) -> None:
            coming.put(offset, self._step("pull", {"number": self._number, "offset": offset})[1])

        self._in_flight(pull, offsets(size_bytes))
        return bytes(coming.take())

    def _in_flight(self, transfer: Callable[[int], None], starts: Iterator[int]) -> None:
        with ThreadPoolExecutor(CHUNKS_IN_FLIGHT, thread_name_prefix="wardround-chunk") as pool:
            chunks = [pool.submit(transfer, offset) for offset in starts]
            try:
                for chunk in chunks:
                    chunk.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _step(self, step: str, head: Head, payload: bytes | memoryview = b"") -> tuple[Head, memoryview]:
        body = pack(head, payload)
        try:
            reply = self._proxy(timeout=self._left_s()).handle(step, body)
        except self._link.call_failed as error:
            raise self._judged(error) from error
        except SiteError:
            raise
        except Exception as error:
            raise self._over(error) from error
        answer, rest = unpack(reply)
        if "failure" in answer:
            raise SiteError(sentence(str(answer["failure"])))
        return answer, rest

    def _judged(self, error: Exception) -> WardroundError:
        cause = getattr(error, "cause", error)
        if time.monotonic() >= self._deadline and not self._link.aborted():
            return SiteError(self._late())
        # A site's own failures come as answers, so this call was cut off: by the end of the job, or for this site only.
        if self._link.goes_on():
            return SiteError(f"site {self._site} could not be called: {sentence(str(cause))}")
        return self._over(error)

    def _over(self, error: Exception) -> FabricDown:
        why = "" if self._link.aborted() else f" ({sentence(str(error)) or type(error).__name__})"
        return FabricDown(f"the FLARE job ended while site {self._site} was called{why}")

    def _left_s(self) -> float:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise SiteError(self._late())
        return left_s

    def _late(self) -> str:
        return f"site {self._site} did not answer {self._op!r} within {self._timeout_s:g} s"
