"""Sites in worker processes on this machine: started once, restarted when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from wardround.core.codec import Message, decode, encode
from wardround.errors import FabricDown, WireError
from wardround.fabric.base import Answer, Body, framed
from wardround.fabric.local import Opener, SiteHost, packed, unpacked

MAX_RESTARTS = 2
START_TIMEOUT_S = 120.0
WINDOW_PER_WORKER = 2

Frames = Callable[[str], bytes]
"""Gives a site its frame; see `framed`."""


class WorkerFabric:
    """N processes that host the sites between them, site by site in turn.

    A process that dies is started again and its call repeated: a site's answer depends only on the call and on its
    store, so the run's bytes stay the same. After `MAX_RESTARTS` deaths the fabric is down, and the run resumes later.
    A site that hangs past its time limit fails alone; its process is replaced, because nothing else stops a thread.

    Attributes:
        make_opener: called once in each process; returns what opens a site. Must be picklable.
    """

    def __init__(self, names: Sequence[str], make_opener: Callable[[], Opener], workers: int) -> None:
        self._names = tuple(sorted(names))
        count = max(1, min(workers, len(self._names)))
        self._home = {site: index % count for index, site in enumerate(self._names)}
        self._workers = [_Worker(make_opener) for _ in range(count)]
        for worker in self._workers:
            worker.start()
        self._events: list[str] = []
        self._deaths = 0

    def sites(self) -> tuple[str, ...]:
        """Return the sites' names, sorted."""
        return self._names

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """Keep every worker busy, and yield in the order of `sites`; see `Fabric.gather`."""
        frames = framed(sites, body)
        for worker in self._workers:
            if worker.busy:  # with a question that nobody waits for any more: its answer must not be taken for another
                worker.stop()
        waiting = {index: [s for s in sites if self._home[s] == index] for index in range(len(self._workers))}
        place = {site: position for position, site in enumerate(sites)}
        ready: dict[str, Answer] = {}
        for position, site in enumerate(sites):
            while site not in ready:
                horizon = position + WINDOW_PER_WORKER * len(self._workers)
                for index, worker in enumerate(self._workers):
                    if not worker.busy and waiting[index] and place[waiting[index][0]] < horizon:
                        self._send(worker, waiting[index].pop(0), op, frames, timeout_s)
                for answer in self._collect(op, frames, timeout_s):
                    ready[answer.site] = answer
            yield ready.pop(site)

    def events(self) -> list[str]:
        """Return, and forget, what was restarted."""
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.stop()

    def pids(self) -> list[int]:
        """Process numbers of the running workers."""
        return [worker.process.pid for worker in self._workers if worker.process and worker.process.pid]

    def _send(self, worker: _Worker, site: str, op: str, frames: Frames, timeout_s: float | None) -> None:
        frame = frames(site)
        try:
            worker.send(site, op, frame, timeout_s)
        except OSError:
            self._replace(worker, site, op, frame, timeout_s)

    def _collect(self, op: str, frames: Frames, timeout_s: float | None) -> Iterator[Answer]:
        busy = {worker.pipe: worker for worker in self._workers if worker.busy and worker.pipe}
        deadlines = [worker.deadline for worker in busy.values() if worker.deadline is not None]
        patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        for pipe in wait(list(busy), patience):
            worker = busy[pipe]  # type: ignore[index]
            site = worker.busy
            try:
                yield unpacked(site, worker.receive())
            except (EOFError, OSError):
                self._replace(worker, site, op, frames(site), timeout_s)
        now = time.monotonic()
        for worker in busy.values():
            if worker.busy and worker.deadline is not None and worker.deadline <= now:
                site = worker.busy
                worker.stop()
                self._events.append(f"the worker of site {site} was replaced because {op} hung")
                yield Answer(site, failure=f"{op} took longer than the time limit of {timeout_s:g} s")

    def _replace(self, worker: _Worker, site: str, op: str, frame: bytes, timeout_s: float | None) -> None:
        sent = False
        while not sent:
            worker.stop()
            self._deaths += 1
            if self._deaths > MAX_RESTARTS:
                raise FabricDown(
                    f"worker processes died {self._deaths} times, last at {op} of site {site}: use --resume"
                )
            self._events.append(f"the worker of site {site} died during {op} and was started again")
            with suppress(OSError):  # it died once more, while it was told its task
                worker.send(site, op, frame, timeout_s)
                sent = True


class _Worker:
    """One process; it is started with the fabric, and again when it is gone."""

    def __init__(self, make_opener: Callable[[], Opener]) -> None:
        self._make_opener = make_opener
        self.process: BaseProcess | None = None
        self.pipe: Connection | None = None
        self.busy = ""
        self.deadline: float | None = None
        self._ready = False
        self._proven = False
        self._held: bytes | None = None

    def send(self, site: str, op: str, frame: bytes, timeout_s: float | None) -> None:
        """Start a call; a frame that goes to many sites travels once to each process."""
        if self.process is None:
            self.start()
        self._await_ready()
        self.busy = site
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if self.pipe is None:
            raise FabricDown("a worker process has no connection: go on with --resume")
        self.pipe.send_bytes(encode(Message({"site": site, "op": op, "framed": frame is not self._held})))
        if frame is not self._held:
            self.pipe.send_bytes(frame)
            self._held = frame

    def receive(self) -> bytes:
        """Take the answer of the call that was sent."""
        if self.pipe is None:
            raise EOFError
        frame = self.pipe.recv_bytes()
        self.busy, self.deadline = "", None
        return frame

    def stop(self) -> None:
        """End the process; its call, if any, is lost."""
        if self.pipe is not None:
            self.pipe.close()
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process, self.pipe, self.busy, self.deadline = None, None, "", None
        self._ready, self._held = False, None

    def start(self) -> None:
        """Start the process without waiting for it."""
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self._make_opener), daemon=True)
        self.process.start()
        theirs.close()

    def _await_ready(self) -> None:
        # A time limit is for the site's work, not for starting Python.
        if self._ready or self.pipe is None:
            return
        if not self.pipe.poll(START_TIMEOUT_S):
            raise FabricDown(f"a worker process did not start within {START_TIMEOUT_S:g} s")
        try:
            self.pipe.recv_bytes()
        except (EOFError, OSError):
            if self._proven:  # it can start: somebody ended it, as anybody may end a worker
                raise BrokenPipeError("a worker process ended while it was started again") from None
            raise FabricDown("a worker process ended while it started; run with --workers 0 to see why") from None
        self._ready = self._proven = True


def _serve(pipe: Connection, make_opener: Callable[[], Opener]) -> None:
    """Answer calls until the coordinator's end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's to handle; it ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    host = SiteHost(make_opener())
    pipe.send_bytes(b"ready")
    frame, body = b"", None
    while True:
        try:
            request = decode(pipe.recv_bytes())
            if request.fields["framed"]:
                frame, body = pipe.recv_bytes(), None
        except (EOFError, OSError):
            return
        site = str(request.fields["site"])
        try:
            body = body or decode(frame)
            answer = host.call(site, str(request.fields["op"]), body)
        except WireError as error:
            answer = Answer(site, failure=str(error))
        pipe.send_bytes(packed(answer))


def _end_with_parent() -> None:
    # The pipe closes when the coordinator dies, but a site deep in training would notice only at its end.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
