"""Sites and a coordinator that get damaged messages in the middle of real rounds, and go on."""

from __future__ import annotations

import faulthandler
import itertools
import json
import random
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import rigged
import tiny
from hostile_bytes import Count, all_kinds
from mutations import damaged, damaged_message
from rigged import Memory, Tamper

from wardround.core.codec import Message, decode, encode
from wardround.errors import PlanError, SiteError, TrustError, WardroundError, WireError
from wardround.fabric.base import Answer, Body
from wardround.fabric.local import LocalFabric
from wardround.protect import scheme
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.keyring import RUN_KEYS
from wardround.rounds.site import Site
from wardround.rounds.trials import PAST
from wardround.study.simulation import VAULT, introduce_sites
from wardround.study.spec import to_json

REFUSED = (WireError, SiteError, TrustError, PlanError)
"""All that may come out of a site."""
PER_CALL = {"open": 40, "train": 25, "evaluate": 25, "finish": 40, "run": 40, "upload": 120}
EACH = 220
"""Damaged messages before one true call of a site."""
FORGIVEN = {"hello", "meet", "bind", "confirm", "upload", "unseal"}
"""Calls in which even a refused message may begin something anew: an agreement on keys, weights, an opening."""
ANSWERS = 8
"""Damaged answers of each kind for a coordinator."""
SMALL: dict[str, Any] = {"model": {"width": 16}, "training": {"steps": 1}}


class Standing:
    """A site as it stands: all that it holds in memory and on disk, to be put back."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._folder = folder
        self._holders: dict[int, tuple[Any, Any]] = {}
        self._futures: list[Any] = []
        self._note(site)
        self._files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self._disk = listing(folder)

    def restore(self) -> None:
        """Put it back."""
        for holder, held in self._holders.values():
            for future in found_futures(holder):
                future.result()  # it writes to the disk
            holder.clear()
            holder.extend(held) if isinstance(holder, list) else holder.update(held)
        if listing(self._folder) == self._disk:
            return
        for path in self._disk.keys() ^ listing(self._folder).keys():
            path.unlink(missing_ok=True)
        for path, content in self._files.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        self._disk = listing(self._folder)

    def _note(self, thing: Any) -> None:
        if isinstance(thing, types.MethodType):
            self._note(thing.__self__)
            return
        known = type(thing).__module__.startswith("wardround.") and hasattr(thing, "__dict__")
        holder = vars(thing) if known else thing
        if not isinstance(holder, dict | list):
            for part in thing if isinstance(thing, tuple) else ():
                self._note(part)
            return
        if id(holder) in self._holders:
            return
        self._holders[id(holder)] = (holder, type(holder)(holder))
        for part in list(holder.values()) if isinstance(holder, dict) else list(holder):
            self._note(part)


def found_futures(holder: Any) -> list[Future[Any]]:
    """Return what is still being made in a table, or in a table in it."""
    parts = list(holder.values()) if isinstance(holder, dict) else []
    tables = (part.values() for part in parts if isinstance(part, dict))
    return [part for part in itertools.chain(parts, *tables) if isinstance(part, Future)]


def listing(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Return every file below `folder` with what changes when it is written."""
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (found.st_ino, found.st_mtime_ns, found.st_size) for path, found in stats.items()}


class Hammered:
    """A fabric in which every site hears damaged messages before each true one.

    A message that a site takes for a legal one is undone: a coordinator may send such, and it ends a run if it likes.
    A refused one is not undone, unless the call is one of `FORGIVEN`: it must leave nothing behind by itself.
    """

    def __init__(self, sites: dict[str, Site], folder: Path, seed: str) -> None:
        self._inner = LocalFabric(list(sites), sites.__getitem__, encoded=True)
        self._sites, self._folder = sites, folder
        self._rng = random.Random(seed)
        self._heard: list[bytes] = []
        self.counts: dict[str, Count] = {}

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """See `Fabric.gather`."""
        for site in sites:
            self._hammer(site, op, body if isinstance(body, Message) else body[site])
        for answer in self._inner.gather(sites, op, body, timeout_s):
            if answer.message is not None:
                self._heard = [array.tobytes() for array in answer.message.tensors.values()][-3:] or self._heard
            yield answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _hammer(self, site: str, op: str, body: Message) -> None:
        count = self.counts.setdefault(op, Count())
        standing = Standing(self._sites[site], self._folder / site)
        for _ in range(PER_CALL.get(op, EACH)):
            frame = damaged_message(self._rng, body, self._heard)
            count.tried += 1
            try:
                self._sites[site].handle(op, decode(frame))
            except REFUSED as error:
                count.refuse(error)
                if op in FORGIVEN:
                    standing.restore()
            else:
                standing.restore()


def hammered_run(pipeline: str, folder: Path, seed: str) -> dict[str, Count]:
    """Run a plan over hammered sites, and once over others: both must end with the same states.

    Args:
        pipeline: one of `tiny.PIPELINES`.
        folder: for both runs.
        seed: of the damages.
    """
    plan = tiny.plan(rounds=2, protect=tiny.PIPELINES[pipeline], **SMALL)
    parts, scheme.PART_CHUNKS = scheme.PART_CHUNKS, 1
    try:
        calm = Memory()
        Coordinator(plan, rigged.Tampering(tiny.fabric(plan, folder / "calm"), steps_lost()), calm).run()
        introduce_sites(folder / "hammered", tiny.NAMES)
        open_site = tiny.make_opener(to_json(plan), tiny.SIZES, str(folder / "hammered"))
        sites = {name: open_site(name) for name in tiny.NAMES}
        fabric, journal = Hammered(sites, folder / "hammered", f"{seed} {pipeline}"), Memory()
        Coordinator(plan, rigged.Tampering(fabric, steps_lost()), journal).run()
    finally:
        scheme.PART_CHUNKS = parts
    assert [record.state_digest for record in journal.records] == [record.state_digest for record in calm.records]
    assert all(not record.failed for record in journal.records)
    return {f"{pipeline}: {op}": count for op, count in fabric.counts.items()}


def steps_lost() -> Tamper:
    """Return a tamper that loses north's first step, so that it takes the state over from another site."""
    lost: list[str] = []

    def tamper(op: str, site: str, answer: Message) -> Message | str:
        if (op, site) == ("step", "north") and not lost:
            lost.append(site)
            return "the power failed"
        return answer

    return tamper


def damaged_answers(pipeline: str, folder: Path, seed: str) -> dict[str, Count]:
    """Let one site send a damaged answer in a run of one round, again and again.

    The run ends with a sentence, or goes on: without that site or, where its answer was a legal one, with it.
    """
    plan = tiny.plan(rounds=1, protect=tiny.PIPELINES[pipeline], training={"steps": 1})
    asked: list[str] = []
    rigged.run(plan, folder / "calm", noting(asked))
    counts = {}
    for op in dict.fromkeys(asked):
        count = counts[f"{pipeline}: answer to {op}"] = Count()
        for index in range(ANSWERS):
            journal, count.tried = Memory(), count.tried + 1
            tamper = partial(lying, random.Random(f"{seed} {pipeline} {op} {index}"), op)
            try:
                rigged.run(plan, folder / f"{op}-{index}", tamper, journal)
            except WardroundError as error:
                count.refuse(error)
                assert "north" in str(error) or op == "confirm", f"{op}: {error}"  # noqa: PT017
                continue
            (record,) = journal.records
            # An offer is read by its receiver alone, which refuses it, stays away, and says whose it was.
            assert all(site == "north" or (op == "offer" and "north" in why) for site, why in record.failed.items())
            count.refused += bool(record.failed)
    return counts


def noting(asked: list[str]) -> Tamper:
    """Return a tamper that only notes what is asked."""

    def tamper(op: str, site: str, answer: Message) -> Message:
        asked.append(op)
        return answer

    return tamper


def lying(rng: random.Random, op: str, asked: str, site: str, answer: Message) -> Message | bytes:
    """Damage north's answer to `op`."""
    if (asked, site) != (op, "north"):
        return answer
    whole = Message({"answer": dict(answer.fields)}, answer.tensors)
    if rng.random() < 0.3:
        return damaged(rng, encode(whole))
    try:
        return decode(damaged_message(rng, answer))
    except WireError:
        return answer


def damaged_vaults(folder: Path, seed: str, times: int = 400) -> dict[str, Count]:
    """Open a site again and again whose vault holds damaged keys or a damaged past, sealed as if they were right."""
    plan = tiny.plan(rounds=1, protect=tiny.PIPELINES["packed and masked"], training={"steps": 1})
    asked: list[tuple[str, Body]] = []
    fabric = rigged.Tampering(tiny.fabric(plan, folder), rigged.honest)
    Coordinator(plan, fabric, Memory()).run()
    asked = [(op, body) for op, _, body in fabric.asked if op in ("agree", "offer", "unseal")]
    open_site: Callable[[str], Site] = tiny.make_opener(to_json(plan), tiny.SIZES, str(folder))
    vault = open_site("east")._outlet._keyring.vault
    assert vault.folder == folder / "east" / VAULT
    counts = {}
    for name in (RUN_KEYS, PAST):
        rng, count = random.Random(f"{seed} {name}"), Count()
        good = vault.read(name)
        for _ in range(times):
            vault.write(name, damaged(rng, good), sync=False)
            site, (op, body) = open_site("east"), rng.choice(asked)
            count.tried += 1
            try:
                site.handle(op, body if isinstance(body, Message) else body["east"])
            except REFUSED as error:
                count.refuse(error)
        vault.write(name, good)
        counts[f"vault: {name}"] = count
    return counts


def undisturbed(folder: Path) -> list[str]:
    """Run a whole plan; return the states that its rounds end with."""
    plan = tiny.plan(rounds=2, protect=tiny.PIPELINES["packed and masked"])
    _, journal, _ = rigged.run(plan, folder)
    return [record.state_digest for record in journal.records]


def main() -> None:
    """Hammer everything with the seed that the command line gives; print what came out as JSON."""
    faulthandler.enable()
    seed = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = undisturbed(folder / "before")
        counts = all_kinds(folder, seed) | damaged_vaults(folder / "vaults", seed)
        for pipeline in ("masked", "packed", "packed and masked"):
            counts |= hammered_run(pipeline, folder / f"hammered {pipeline}", seed)
            counts |= damaged_answers(pipeline, folder / f"answers {pipeline}", seed)
        assert undisturbed(folder / "after") == before
    print(json.dumps({kind: vars(count) for kind, count in counts.items()}))
