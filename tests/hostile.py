"""Real sites, and calls to them as a coordinator may make them: in any order, with any body."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tiny

from wardround.core.codec import Message
from wardround.core.update import Tensors
from wardround.errors import WardroundError
from wardround.fabric.base import Answer, Body
from wardround.fabric.local import LocalFabric
from wardround.protect.attempt import Attempt, SurvivorList, default_threshold
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.run_keys import RunKeys
from wardround.protect.scheme import FrameSum, Scheme
from wardround.protect.unmask import Reveal, unmask
from wardround.rounds.keyring import RUN_KEYS
from wardround.rounds.plan import Plan
from wardround.rounds.roster import Roster, introduce
from wardround.rounds.site import Site
from wardround.rounds.trials import Trials
from wardround.rounds.wire import tensor_of
from wardround.study.simulation import introduce_sites
from wardround.study.spec import to_json

Boxes = dict[str, dict[str, bytes]]
"""sender -> receiver -> sealed offer."""


def plan_of(pipeline: str, **changes: Any) -> Plan:
    """Return a plan whose sites train in a moment, by the name of what it does to updates."""
    changes.setdefault("training", {"steps": 1})
    return tiny.plan(**{"rounds": 4, "protect": tiny.PIPELINES[pipeline], **changes})


class Ward:
    """Sites that stay open, with the calls of an honest coordinator as methods; `call` makes any other.

    Attributes:
        plan: of the run.
        names: of the sites.
        sites: name -> the site.
        roster: of the run; `agree_on_keys` sets it.
        weights: site -> what it is told to weigh.
    """

    def __init__(self, plan: Plan, folder: Path, names: Sequence[str] = tiny.NAMES) -> None:
        introduce_sites(folder, names)
        sizes = tuple((name, 8 + 4 * place) for place, name in enumerate(names))
        self.plan, self.names = plan, tuple(names)
        self._open = tiny.make_opener(to_json(plan), sizes, str(folder))
        self.sites: dict[str, Site] = {}
        self.restart(*names)
        self.scheme = Scheme.of(plan.pipeline, plan.weight_total)
        self.weights = {name: 3 + place for place, name in enumerate(names)}
        self.roster: Roster
        if plan.needs_keys:
            self.agree_on_keys()

    def restart(self, *names: str) -> None:
        """Open sites anew: what they remember is what lies on their disks."""
        self.sites |= {name: self._open(name) for name in names}  # type: ignore[misc]

    def call(self, site: str, op: str, body: Message) -> Message:
        """Call one site; raises what it raises."""
        return self.sites[site].handle(op, body)

    def refusal(self, site: str, op: str, body: Message) -> str:
        """Return the sentence with which a site refuses; it must."""
        try:
            self.call(site, op, body)
        except WardroundError as error:
            return str(error)
        raise AssertionError(f"site {site} did as it was told: {op}")

    def fabric(self) -> LocalFabric:
        """Return a fabric that calls these very sites."""
        return LocalFabric(self.names, self.sites.__getitem__, encoded=True)

    def agree_on_keys(self) -> None:
        """Start the run, again if it was started before."""
        self.roster = introduce(self.fabric(), "", {}, None)

    def train(self, round_index: int, *names: str, broadcast: Tensors | None = None, **fields: Any) -> None:
        """Let sites train; where the coordinator holds the state, from `broadcast` or the initial weights."""
        tensors = broadcast or tiny.make_bench(self.plan).initial
        body = {"round": round_index, "cohort": list(self.names), "population": len(self.names), "accepted": {}}
        said = Message({**body, "opened": round_index - 1, **fields}, tensors)
        for name in names or self.names:
            self.call(name, "train", said)

    def values(self, site: str, round_index: int = 0) -> np.ndarray:
        """Return the update that nobody may see."""
        outlet: Any = self.sites[site]._outlet
        return np.asarray(outlet._pending.read(round_index).values, np.int64)

    def trials(self, site: str) -> Trials:
        """Return a site's memory of attempts."""
        outlet: Any = self.sites[site]._outlet
        return outlet.operations["offer"].__self__._trials  # type: ignore[no-any-return]

    def offers(self, cohort: Sequence[str], number: int = 0, round_index: int = 0, whole: bool = False) -> Boxes:
        """Collect the offers of a cohort."""
        said = Message({"round": round_index, "attempt": number, "cohort": list(cohort), "whole": whole})
        answers = {site: self.call(site, "offer", said) for site in cohort}
        return {
            sender: {receiver: box.tobytes() for receiver, box in answer.tensors.items()}
            for sender, answer in answers.items()
        }

    def upload(
        self, site: str, boxes: Boxes, number: int = 0, round_index: int = 0, part: int = 0, **fields: Any
    ) -> bytes:
        """Ask a site for its frame."""
        weights = {name: self.weights[name] for name in boxes or self.names}
        said = {"round": round_index, "attempt": number, "part": part, "weights": weights, **fields}
        mine = {sender: tensor_of(sent[site]) for sender, sent in boxes.items() if sender != site}
        return self.call(site, "upload", Message(said, mine)).tensors["frame"].tobytes()

    def sign(self, site: str, survivors: Sequence[str], number: int = 0, round_index: int = 0) -> bytes:
        """Ask a site for its signature of a list."""
        said = {"round": round_index, "attempt": number, "survivors": list(survivors)}
        return self.call(site, "agree", Message(said)).tensors["signature"].tobytes()

    def reveal(
        self,
        site: str,
        survivors: Sequence[str],
        signatures: Mapping[str, bytes],
        number: int = 0,
        round_index: int = 0,
    ) -> Reveal:
        """Ask a site for its shares."""
        said = {"round": round_index, "attempt": number, "survivors": list(survivors)}
        body = Message(said, {name: tensor_of(signature) for name, signature in signatures.items()})
        return Reveal.from_bytes(self.call(site, "reveal", body).tensors["reveal"].tobytes())

    def opened(
        self,
        cohort: Sequence[str],
        survivors: Sequence[str] = (),
        number: int = 0,
        round_index: int = 0,
        whole: bool = False,
        revealing: Iterable[str] = (),
    ) -> np.ndarray:
        """Go through an attempt as an honest coordinator does, and return the opened sum."""
        survivors = survivors or cohort
        boxes = self.offers(cohort, number, round_index, whole)
        frames = {site: self.upload(site, boxes, number, round_index) for site in survivors}
        signatures = {site: self.sign(site, survivors, number, round_index) for site in survivors}
        reveals = {
            site: self.reveal(site, survivors, signatures, number, round_index) for site in revealing or survivors
        }
        return self.unmasked(frames, self.listed(cohort, survivors, number, round_index, whole), reveals)

    def listed(
        self,
        cohort: Sequence[str],
        survivors: Sequence[str],
        number: int = 0,
        round_index: int = 0,
        whole: bool = False,
    ) -> SurvivorList:
        """Return a list of survivors as the sites see it."""
        stage = self.plan.pipeline.masks
        threshold = len(cohort) if whole else default_threshold(len(cohort), stage.threshold if stage else 0)
        return SurvivorList(Attempt(self.roster.run, round_index, number, tuple(cohort)), threshold, tuple(survivors))

    def unmasked(self, frames: Mapping[str, bytes], listed: SurvivorList, reveals: Mapping[str, Reveal]) -> np.ndarray:
        """Return the sum of frames without its masks, opened with the sites' key where it is encrypted."""
        total = self.summed(frames)
        words = self.scheme.num_words(self._part)
        total.subtract_plain(unmask(listed, reveals).words(0, words, self.scheme.word_bits))
        return self.read(total, sum(self.weights[site] for site in frames))

    def summed(self, frames: Mapping[str, bytes]) -> FrameSum:
        """Return the sum of frames, masks and all; without masks each counts once."""
        total = self.scheme.running_sum(self._part)
        for frame in frames.values():
            total.add(frame)
        return total

    def read(self, total: FrameSum, weight: int) -> np.ndarray:
        """Open a sum."""
        return self.scheme.opened(total.frame(), self._part, weight, self.sealer())

    def words(self, total: FrameSum) -> np.ndarray:
        """Return the words of a sum, whatever they are."""
        sealer, layout = self.sealer(), self.scheme.layout
        assert layout is not None
        if sealer is None:
            return layout.from_bytes(total.frame(), self._part.stop)
        return sealer.open(total.frame(), layout.num_chunks(self._part.stop))

    def sealer(self) -> Sealer | None:
        """Return what opens sums: a site on the coordinator's side gives it the key."""
        if self.scheme.lattice is None:
            return None
        keys = RunKeys.from_bytes(self.vault_of(self.names[0]).read(RUN_KEYS))
        return Sealer(self.scheme.lattice, LatticeKey.from_bytes(keys.secret, self.scheme.lattice))

    def vault_of(self, site: str) -> Any:
        """Return a site's vault."""
        outlet: Any = self.sites[site]._outlet
        return outlet._keyring.vault

    def unseal(self, total: bytes, sites: Sequence[str], weight: int, group: int = 0, round_index: int = 0) -> Any:
        """Send every site something as the sum; return site -> what it says of it."""
        said = {"round": round_index, "group": group, "part": 0, "sites": list(sites), "weight": weight}
        body = Message(said, {"sum": tensor_of(total)})
        return {site: self.call(site, "unseal", body).fields["void"] for site in self.names}

    @property
    def _part(self) -> slice:
        return slice(0, sum(value.size for value in tiny.make_bench(self.plan).initial.values()))


def trained(folder: Path, pipeline: str = "masked", names: Sequence[str] = tiny.NAMES, **changes: Any) -> Ward:
    """Return sites that trained for round 0."""
    made = Ward(plan_of(pipeline, **changes), folder, names)
    made.train(0)
    return made


def weighted(of: Ward, sites: Sequence[str]) -> np.ndarray:
    """Return the sum that sites may open."""
    return np.asarray(sum(of.weights[site] * of.values(site) for site in sites))


Tell = Callable[[str, str, Message], Message]
"""(op, site, what it would be told) -> what it is told."""


class Between:
    """A fabric in which somebody changes what sites are told."""

    def __init__(self, of: Ward, tell: Tell) -> None:
        self.inner, self.tell = of.fabric(), tell

    def sites(self) -> tuple[str, ...]:
        return self.inner.sites()

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        bodies = {site: self.tell(op, site, body if isinstance(body, Message) else body[site]) for site in sites}
        yield from self.inner.gather(sites, op, bodies, timeout_s)

    def events(self) -> list[str]:
        return []

    def close(self) -> None:
        self.inner.close()
