"""Runs of tiny sites in which somebody may change what passes, and that note all that does."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tiny

from wardround.core.codec import Message, decode, encode
from wardround.core.update import Tensors
from wardround.fabric.base import Answer, Body
from wardround.fabric.local import LocalFabric, packed, unpacked
from wardround.ledger.log import Log
from wardround.rounds.coordinator import Coordinator, RunResult
from wardround.rounds.plan import Plan
from wardround.rounds.record import RoundRecord
from wardround.rounds.split.body_host import KIND
from wardround.rounds.store import SiteStore

Tamper = Callable[[str, str, Message], Message | str | bytes]
"""``(op, site, answer) -> another answer, a failure, or the bytes of a frame``."""


class Memory:
    """A journal in memory."""

    def __init__(self, folder: Path | None = None) -> None:
        self.note: bytes | None
        self.records: list[RoundRecord] = []
        self.state: Tensors | None = None
        self.known: tuple[str, Mapping[str, bytes]] = "", {}
        self.seed, self.note, self.folder = secrets.token_bytes(32), None, folder

    def last(self) -> tuple[list[RoundRecord], Tensors] | None:
        return None if self.state is None else (list(self.records), self.state)

    def commit(self, record: RoundRecord, state: Tensors) -> None:
        self.records.append(record)
        self.state = state

    def roster(self) -> tuple[str, Mapping[str, bytes]]:
        return self.known

    def keep_roster(self, run: str, identities: Mapping[str, bytes]) -> None:
        self.known = run, identities

    def ledger(self) -> Log:
        self.folder = self.folder or Path(tempfile.mkdtemp())
        return Log(self.folder)

    def log_seed(self) -> bytes:
        return self.seed

    def checkpoint(self) -> bytes | None:
        return self.note

    def keep_checkpoint(self, note: bytes) -> None:
        self.note = note

    def body_store(self) -> SiteStore:
        self.folder = self.folder or Path(tempfile.mkdtemp())
        return SiteStore(self.folder.with_name(self.folder.name + ".body"), KIND)


class Tampering:
    """A fabric in which somebody changes answers, and that notes all that passes."""

    def __init__(self, inner: LocalFabric, tamper: Tamper) -> None:
        self.inner = inner
        self.tamper = tamper
        self.wire: list[tuple[str, str, bytes]] = []
        self.asked: list[tuple[str, tuple[str, ...], Body]] = []

    def sites(self) -> tuple[str, ...]:
        return self.inner.sites()

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        self.asked.append((op, tuple(sites), body))
        for one in (body,) if isinstance(body, Message) else body.values():
            self.wire.append((op, "coordinator", encode(one)))
        for answer in self.inner.gather(sites, op, body, timeout_s):
            changed = answer
            if answer.message is not None:
                other = self.tamper(op, answer.site, answer.message)
                if isinstance(other, str):
                    changed = Answer(answer.site, failure=other)
                elif isinstance(other, bytes):
                    changed = unpacked(answer.site, other)
                else:
                    changed = Answer(answer.site, other)
            self.wire.append((op, answer.site, packed(changed)))
            yield changed

    def events(self) -> list[str]:
        return []

    def close(self) -> None:
        self.inner.close()


class Told:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def answered(self, round_index: int, site: str, failure: str | None) -> None:
        self.heard.append((round_index, site, failure))

    def completed(self, record: RoundRecord) -> None:
        self.heard.append(("completed", record.round))


def honest(op: str, site: str, answer: Message) -> Message:
    return answer


def run(
    plan: Plan, folder: Path, tamper: Tamper = honest, journal: Memory | None = None, public: bool = True
) -> tuple[RunResult, Memory, Tampering]:
    journal = journal or Memory()
    fabric = Tampering(tiny.fabric(plan, folder, public=public), tamper)
    return Coordinator(plan, fabric, journal).run(), journal, fabric


def tensors_of(frame: bytes) -> Tensors:
    """Return the arrays of a frame."""
    return decode(frame).tensors
