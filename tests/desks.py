"""Sites that are no more than their memory of attempts: real secrets and lists, keys that nobody had to agree on."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wardround.protect.pipeline import Masks
from wardround.protect.run_keys import RunKeys
from wardround.protect.unmask import Reveal
from wardround.rounds.past import Cargo, Trial
from wardround.rounds.trials import Behind, Trials

NAMES = ("alba", "brno", "cork", "dijon", "evora", "faro", "gent", "hull")
STATE = "5" * 64


@dataclass
class Drawer:
    """A vault in memory: it outlives the site's process."""

    held: dict[str, bytes] = field(default_factory=dict)

    def holds(self, name: str) -> bool:
        return name in self.held

    def read(self, name: str) -> bytes:
        return self.held[name]


class Desk:
    """A keyring whose signatures only a name can make. While `broken`, nothing can be kept."""

    def __init__(self, site: str) -> None:
        self.site, self.vault, self.broken = site, Drawer(), False
        self.keys: Any = None

    def keep(self, name: str, content: bytes) -> None:
        if self.broken:
            raise OSError("the disk is full")
        self.vault.held[name] = content

    def sign(self, message: bytes) -> bytes:
        return signature_of(self.site, message)

    def verify(self, site: str, message: bytes, signature: bytes) -> bool:
        return signature == signature_of(site, message)


def signature_of(site: str, message: bytes) -> bytes:
    return hashlib.sha256(site.encode() + message).digest()


class Consortium:
    """Sites, and the steps of an attempt as an honest coordinator takes them.

    Attributes:
        names: of the sites.
        desks: name -> what outlives the site's process.
        trials: name -> the site.
        weights: site -> integer weight.
        examples: site -> what it signs for.
    """

    def __init__(self, names: Sequence[str], stage: Masks | None = None, uniform: bool = False) -> None:
        self.names = tuple(names)
        self.desks = {site: Desk(site) for site in names}
        self.trials: dict[str, Trials] = {}
        self.weights = dict.fromkeys(names, 1)
        self.examples = dict.fromkeys(names, 100)
        self._stage, self._uniform = stage or Masks(bisect=True), uniform
        self._runs = 0
        self.start_run()

    def start_run(self) -> None:
        """Give the sites the keys of a new run."""
        self._runs += 1
        run = self._runs.to_bytes(32, "big")
        pairs = {frozenset(pair): os.urandom(32) for pair in itertools.combinations(self.names, 2)}
        for site, desk in self.desks.items():
            keys = {peer: pairs[frozenset((site, peer))] for peer in self.names if peer != site}
            desk.keys = RunKeys(run, site, {}, keys, bytes(32), b"")
        self.restart(*self.names)

    def restart(self, *names: str) -> None:
        """Open sites anew."""
        for site in names or self.names:
            desk: Any = self.desks[site]
            self.trials[site] = Trials(site, self._stage, desk, self._uniform)

    def cargo(self, site: str, update: str = "", **weights: int) -> Cargo:
        """Return what a site would put under its mask."""
        table = {name: self.weights[name] for name in self.names}
        return Cargo({**table, **weights}, STATE, update or f"of {site}", self.examples[site])

    def offers(
        self, cohort: Iterable[str] = (), number: int = 0, round_index: int = 0, whole: bool = False
    ) -> dict[str, Trial]:
        """Let a cohort begin an attempt."""
        cohort = tuple(cohort) or self.names
        found: dict[str, Trial | Behind] = {
            site: self.trials[site].offer(round_index, number, cohort, whole) for site in cohort
        }
        assert all(isinstance(one, Trial) for one in found.values()), found
        return found  # type: ignore[return-value]

    def receive(self, offered: Mapping[str, Trial], *sites: str) -> dict[str, Trial]:
        """Hand sites the offers of their peers, and the weights."""
        return {site: self.receive_as(offered, site, self.cargo_for(offered, site)) for site in sites or offered}

    def receive_as(self, offered: Mapping[str, Trial], site: str, cargo: Cargo) -> Trial:
        """Hand one site the offers, with other things said."""
        attempt = offered[site].attempt
        boxes = {peer: offered[peer].boxes[site] for peer in attempt.cohort if peer != site}
        return self.trials[site].receive(attempt.round, attempt.number, cargo, boxes)

    def cargo_for(self, offered: Mapping[str, Trial], site: str) -> Cargo:
        """Return what a site puts under its mask in an attempt."""
        weights = {name: self.weights[name] for name in offered[site].attempt.cohort}
        return Cargo(weights, STATE, f"of {site}", self.examples[site])

    def agree(self, offered: Mapping[str, Trial], survivors: Iterable[str] = ()) -> dict[str, bytes]:
        """Let the survivors sign."""
        attempt = next(iter(offered.values())).attempt
        survivors = tuple(survivors) or attempt.cohort
        return {site: self.trials[site].agree(attempt.round, attempt.number, survivors) for site in survivors}

    def reveal(self, offered: Mapping[str, Trial], signatures: Mapping[str, bytes], *sites: str) -> dict[str, Reveal]:
        """Let survivors release their shares."""
        attempt = next(iter(offered.values())).attempt
        place = attempt.round, attempt.number, tuple(signatures)
        return {site: Reveal.from_bytes(self.trials[site].reveal(*place, signatures)) for site in sites or signatures}

    def opened(
        self,
        cohort: Iterable[str] = (),
        survivors: Iterable[str] = (),
        number: int = 0,
        round_index: int = 0,
        whole: bool = False,
        revealing: Iterable[str] = (),
    ) -> dict[str, Reveal]:
        """Go through an attempt."""
        offered = self.offers(cohort, number, round_index, whole)
        self.receive(offered, *(survivors or offered))
        return self.reveal(offered, self.agree(offered, survivors), *revealing)
