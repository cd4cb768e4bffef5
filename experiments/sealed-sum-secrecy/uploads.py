"""Uploads as a coordinator sees them: three sites seal updates with the package's own `Outlet`, round after round."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wardround.core.codec import Message
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.fabric.local import LocalFabric
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.lattice_parameters import SEED_BYTES
from wardround.protect.packing import widen
from wardround.protect.run_keys import RunKeys
from wardround.protect.scheme import Scheme
from wardround.rounds.keyring import RUN_KEYS
from wardround.rounds.outlet import Outlet
from wardround.rounds.plan import Plan
from wardround.rounds.roster import introduce
from wardround.rounds.store import SiteStore
from wardround.study.build import opener_for, sites_of
from wardround.study.simulation import introduce_sites, simulated
from wardround.study.spec import parse

SITES = ("east", "north", "west")
WATCHED = "north"
WEIGHTS = {"east": 25, "north": 21, "west": 18}
CLIP = {"stage": "clip", "norm": 10.0}
QUANTISE = {"stage": "quantise", "bits": 16, "weight_total": 64}
MASKS = {"stage": "masks"}
PACKED = {"stage": "homomorphic", "scheme": "packed"}
PIPELINES: dict[str, list[dict[str, Any]]] = {
    "quantised": [CLIP, QUANTISE],
    "masks alone": [CLIP, QUANTISE, MASKS],
    "packed": [CLIP, QUANTISE, PACKED],
    "packed and masks": [CLIP, QUANTISE, MASKS, PACKED],
}


def plan_of(pipeline: list[dict[str, Any]]) -> Plan:
    """Return a plan on the embedded slide."""
    return parse({"name": "secrecy", "model": {"width": 16}, "training": {"steps": 20}, "protect": pipeline})


def two_updates() -> tuple[Tensors, Tensors, Tensors]:
    """Train from the same weights at two hospitals of the embedded slide; return the weights and both updates."""
    plan = plan_of([])
    sites = sites_of(plan, None)
    names = sorted(sites)
    with tempfile.TemporaryDirectory() as folder:
        open_site = opener_for(plan, sites, Path(folder))
        weights = plan.composed().server.broadcast(plan.composed().server.start(open_site.args[2].initial))
        body = Message({"round": 0, "cohort": names, "population": len(names), "accepted": {}}, weights)
        left, right = (open_site(name).handle("train", body).tensors for name in names[:2])
    return weights, left, right


@dataclass(frozen=True)
class Seen:
    """What an upload shows: the bytes of its frame and of the site's signature, if there is one."""

    frame: bytes
    signature: bytes


class Consortium:
    """Three sites that agreed on keys, and a coordinator that asks the watched one for its update.

    Attributes:
        scheme: of the frames.
        roster: the run, as the coordinator knows it; ``None`` where there are no keys.
    """

    def __init__(self, pipeline: list[dict[str, Any]], broadcast: Tensors, folder: Path) -> None:
        self.plan = plan_of(pipeline)
        self.scheme = Scheme.of(self.plan.pipeline, self.plan.weight_total)
        self._broadcast = broadcast
        introduce_sites(folder, SITES)
        self._credentials = {site: simulated(folder, SITES, site) for site in SITES}
        self._outlets = {
            site: Outlet(site, self.plan, SiteStore(folder / site), self._credentials[site]) for site in SITES
        }
        self._fabric = LocalFabric(SITES, lambda site: Answering(self._outlets[site]), encoded=True)
        self.roster = introduce(self._fabric, "", {}, None) if self.plan.pipeline.needs_keys else None

    def upload(self, round_index: int, change: Tensors) -> Seen:
        """Let the watched site seal `change` in a round of its own."""
        ctx = RoundContext(1, round_index, 2**31, SITES, len(SITES), WATCHED)
        self._outlets[WATCHED].hold(ctx, str(round_index), {"num_examples": 697}, self._broadcast, change)
        said: dict[str, Any] = {"round": round_index, "attempt": 0}
        tensors: dict[str, np.ndarray] = {}
        if self.plan.pipeline.masks:
            offers = self._asked(SITES, "offer", Message({**said, "cohort": list(SITES), "whole": False}))
            tensors = {peer: said_by.tensors[WATCHED] for peer, said_by in offers.items() if peer != WATCHED}
        body = Message({**said, "part": 0, "weights": WEIGHTS}, tensors)
        answer = self._asked((WATCHED,), "upload", body)[WATCHED]
        signature = answer.tensors["signature"].tobytes() if "signature" in answer.tensors else b""
        return Seen(answer.tensors["frame"].tobytes(), signature)

    def words(self, change: Tensors) -> np.ndarray:
        """Return the words of an update as it would be in the clear."""
        ctx = RoundContext(self.plan.seed, 0, self.plan.rounds, SITES, len(SITES))
        values, _ = self.plan.pipeline.grid(self._broadcast, ctx).encode(change, np.random.default_rng(0))
        return self.scheme.words(values, WEIGHTS[WATCHED] if self.plan.pipeline.masks else 1)

    def numbers(self, frame: bytes) -> np.ndarray:
        """Return the numbers of a frame, each as a share of its modulus, in [0, 1)."""
        lattice, layout = self.scheme.lattice, self.scheme.layout
        if lattice is None:
            return widen(frame, layout.word_bytes) / layout.modulus
        chunks = np.frombuffer(frame, np.uint8).reshape(-1, lattice.upload_chunk_bytes)
        (prime,), (width,) = lattice.data_primes, lattice.residue_bytes
        return widen(chunks[:, SEED_BYTES:].tobytes(), width) / prime

    def sealer(self) -> Sealer | None:
        """Return what a site opens sums with: the key that the coordinator does not have."""
        if self.scheme.lattice is None:
            return None
        keys = RunKeys.from_bytes(self._credentials[WATCHED].vault.read(RUN_KEYS))
        return Sealer(self.scheme.lattice, LatticeKey.from_bytes(keys.secret, self.scheme.lattice))

    def opened(self, frame: bytes, sealer: Sealer | None) -> np.ndarray:
        """Return the words that a single upload opens to, if somebody with the key takes it for a sum."""
        lattice, layout = self.scheme.lattice, self.scheme.layout
        if lattice is None:
            return widen(frame, layout.word_bytes)
        chunks = len(frame) // lattice.upload_chunk_bytes
        part = slice(0, chunks * self.scheme.chunk_values)
        alone = self.scheme.running_sum(part)
        alone.add(frame, 1)
        return sealer.open(alone.frame(), chunks)

    def _asked(self, sites: tuple[str, ...], op: str, body: Message) -> Mapping[str, Message]:
        return {answer.site: _heard(answer) for answer in self._fabric.gather(sites, op, body, None)}


@dataclass(frozen=True)
class Answering:
    """A site of which nothing is needed but what it does with its update."""

    outlet: Outlet

    def handle(self, op: str, body: Message) -> Message:
        """See `Handler.handle`."""
        return self.outlet.operations[op](body)


@contextmanager
def consortium(pipeline: str, broadcast: Tensors) -> Iterator[Consortium]:
    """Give three sites that forget everything at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Consortium(PIPELINES[pipeline], broadcast, Path(folder))


def seeds_of(frame: bytes, scheme: Scheme) -> Iterator[bytes]:
    """Yield the seed at the start of each chunk of an upload frame."""
    for start in range(0, len(frame), scheme.lattice.upload_chunk_bytes):
        yield frame[start : start + SEED_BYTES]


def _heard(answer: Any) -> Message:
    if answer.message is None:
        raise RuntimeError(f"{answer.site}: {answer.failure}")
    return answer.message
