"""A plan: everything that decides what a run computes, as one frozen value with a digest."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from wardround.aggregate import Aggregator
from wardround.algorithms import (
    Algorithm,
    AlgorithmSpec,
    CalibratedDpSgd,
    DpSgd,
    ServerStep,
    Training,
)
from wardround.algorithms.defences import Defence
from wardround.algorithms.parts import freeze, frozen_weights
from wardround.algorithms.server import Averaged
from wardround.algorithms.unit_gradients import mixing_layer
from wardround.checker import Cohort, Link, Mixture, Unit, Work, check
from wardround.core.codec import canonical_json
from wardround.core.context import RoundContext
from wardround.core.update import Tensors
from wardround.data.catalogue import Source
from wardround.data.probe import ProbeShare
from wardround.data.sites import Parts, SiteRule
from wardround.errors import PlanError
from wardround.privacy import Privacy
from wardround.protect.noisy_grid import NoisyGrid
from wardround.protect.pipeline import Pipeline
from wardround.protect.quantise import Grid, Quantise, RealGrid
from wardround.rounds.defended import defended
from wardround.rounds.evaluation import Evaluation
from wardround.rounds.fitness import refuse_unfit
from wardround.rounds.groups import Groups
from wardround.rounds.guarantee import Guarantee
from wardround.rounds.ledger_rules import LedgerRules
from wardround.rounds.malice import Malice
from wardround.rounds.split.rules import SplitRules
from wardround.screen import Screen
from wardround.tasks import Classify, TaskSpec
from wardround.tasks.inputs import trained_part
from wardround.tasks.models import ModelSpec, Scattering
from wardround.tasks.start import Start


@dataclass(frozen=True)
class DataPlan:
    """The ``[data]`` table: a source, and how its images are dealt to sites and parts.

    Attributes:
        source: where images come from.
        sites: which image belongs to which site (``[data.sites]``).
        parts: shares of validation and test (``[data.parts]``).
        split_seed: seed of the split; apart from the plan's seed, so that seeds can be compared on one split.
    """

    source: Source
    sites: SiteRule
    parts: Parts
    split_seed: int = 0


@dataclass(frozen=True)
class Plan:
    """What is computed; where (engine, workers, folders) is no part of it.

    Attributes:
        name: of the run folder; letters, digits, ``-`` and ``_``.
        seed: of initial weights, batches, dropout, augmentation and cohorts.
        rounds: number of rounds.
        sites_per_round: cohort size; 0 takes every site.
        quorum: good updates a round needs; 0 needs more than half of the cohort.
        timeout_s: seconds a site may take for one answer; 0 waits for ever.
        pipeline: what is done to an update before it leaves its site (``[[protect]]`` and ``open_at``).
        screens: who judges updates before they are aggregated (``[[screen]]``).
        average_decay: per-round decay of the moving average that is evaluated and saved; 0 saves the last weights.
        privacy: whose presence is hidden, and how well; ``None`` claims nothing.
        ledger: who signs the record of the run (``[ledger]``).
        start: the weights that training starts from (``[start]``); ``None`` makes them from the seed.
        split: where the network is cut (``[split]``); ``None`` where each site holds the whole of it.
        task: what is learned (``[task]``); ``None`` classifies.
        probe: published images that the coordinator has for itself (``[probe]``); ``None`` where it has none.
        attacks: what malicious sites of a simulation do (``[[attack]]``); ``None`` where all are honest.
        groups: how sites are dealt to groups with a sum each (``[groups]``); ``None`` sums all of a round.
        defence: what sites do so that nobody rebuilds an image from an update (``[defence]``); ``None`` does nothing.
    """

    name: str
    data: DataPlan
    model: ModelSpec
    algorithm: AlgorithmSpec
    training: Training
    server: ServerStep
    aggregator: Aggregator
    evaluation: Evaluation
    pipeline: Pipeline = field(default_factory=Pipeline)
    screens: tuple[Screen, ...] = ()
    seed: int = 1
    rounds: int = 20
    sites_per_round: int = 0
    quorum: int = 0
    timeout_s: float = 0.0
    average_decay: float = 0.0
    privacy: Privacy | None = None
    ledger: LedgerRules = field(default_factory=LedgerRules)
    start: Start | None = None
    split: SplitRules | None = None
    task: TaskSpec | None = None
    probe: ProbeShare | None = None
    attacks: tuple[Malice, ...] | None = None
    groups: Groups | None = None
    defence: Defence | None = None

    def __post_init__(self) -> None:
        if not self.name or not all(letter.isalnum() or letter in "-_" for letter in self.name):
            raise PlanError(f"name = {self.name!r} must be letters, digits, '-' and '_': it names the run folder")
        if self.rounds < 1 or self.seed < 0:
            raise PlanError("a plan needs rounds >= 1 and seed >= 0")
        if self.sites_per_round < 0 or self.quorum < 0 or not 0 <= self.timeout_s < math.inf:
            raise PlanError("sites_per_round, quorum and timeout_s must be finite and not negative")
        if not 0 <= self.average_decay < 1:
            raise PlanError(f"average_decay = {self.average_decay} is outside [0, 1)")
        refuse_unfit(self)

    @property
    def learns(self) -> TaskSpec:
        """What is learned."""
        return self.task or Classify()

    @property
    def trains_on_features(self) -> bool:
        """Whether only a head is trained, on features that never change."""
        return self.training.parts == "head" or isinstance(self.model, Scattering)

    def starting_weights(self, root: Path | None) -> Tensors:
        """Return the weights that the user supplied, sought below the data root; nothing without ``[start]``."""
        return self.start.load(root) if self.start else {}

    def mixture(self, num_trainers: int | None = None, deployed: bool = False) -> Mixture:
        """Return the plan as the checker sees it.

        Args:
            num_trainers: sites that hold training images; ``None`` while nobody knows.
            deployed: whether the sites are hospitals, not a simulation.
        """
        encryption = self.pipeline.homomorphic
        return Mixture(
            stages=tuple(self._seen(link) for link in self.pipeline.links),
            aggregator=self.aggregator.combiner,
            screens=tuple(screen.combiner for screen in self.screens),
            work=self._work(),
            cohort=Cohort(self.sites_per_round, self.quorum, num_trainers),
            open_at=self.pipeline.open_at,
            weight_total=self.weight_total,
            masking=self.pipeline.masking,
            cosigned=self.cosigned,
            averaged=bool(self.average_decay),
            claims_privacy=self.privacy is not None,
            claimed_unit=self._unit,
            deployed=deployed,
            trusts_coordinator=encryption is not None and encryption.honest_coordinator,
            body_host=self.split.body_host if self.split else "",
            noisy_cut=bool(self.split and self.split.noise_sd),
            attacks=tuple(attack.name for attack in self.attacks or ()),
            probes=self.probe is not None,
            grouping=self.groups.grouping if self.groups else None,
        )

    def check(self, num_trainers: int | None = None, deployed: bool = False) -> None:
        """Refuse mixtures that would run and not mean what they say. The coordinator and every site call this.

        Args:
            num_trainers: as for `mixture`; without it, rules about the cohort wait.
            deployed: as for `mixture`.

        Raises:
            PlanError: the first refusal, with its reason, its remedy and its rule.
        """
        check(self.mixture(num_trainers, deployed))

    @property
    def cosigned(self) -> bool:
        """Whether the sites co-sign the ledger."""
        return self.ledger.cosign == "sites" or (self.ledger.cosign == "auto" and self.pipeline.needs_keys)

    @property
    def needs_keys(self) -> bool:
        """Whether the sites agree on keys before the first round."""
        return self.pipeline.needs_keys or self.cosigned

    @property
    def weight_total(self) -> int:
        """Largest sum of the integer weights of a round, where updates are summed as frames."""
        return self.pipeline.quantise.weight_total if self.pipeline.quantise else Quantise().weight_total

    def composed(self) -> Algorithm:
        """Return the algorithm, with the moving average around its server step when the plan has one."""
        algorithm = defended(self._calibrated().compose(self.training, self.server), self.defence)
        if not self.average_decay:
            return algorithm
        body = algorithm.body
        if body is not None:
            body = dataclasses.replace(body, server=Averaged(body.server, self.average_decay))
        return dataclasses.replace(algorithm, server=Averaged(algorithm.server, self.average_decay), body=body)

    @cached_property
    def guarantee(self) -> Guarantee | None:
        """The noise that the claim asks for; ``None`` where nothing is claimed."""
        if self.privacy is None:
            return None
        steps = self.training.steps
        return Guarantee(self.privacy, self.algorithm, self.pipeline, self.rounds, steps, self.weight_total)

    def grid(self, broadcast: Tensors, ctx: RoundContext) -> Grid | RealGrid | NoisyGrid:
        """Return how an update to `broadcast` is written as one row of numbers in a round."""
        noisy = self.guarantee.grid(broadcast, ctx) if self.guarantee else None
        return noisy or self.pipeline.grid(broadcast, ctx)

    @property
    def _unit(self) -> Unit | None:
        if self.privacy is None:
            return None
        return Unit.SITE if self.privacy.is_site else Unit.RECORD

    def _seen(self, link: Link) -> Link:
        """Return a stage with the unit that the claim gives its noise."""
        noise, unit = link.contract.noise, self._unit
        if noise is None or unit is None or self.privacy is None:
            return link
        made = dataclasses.replace(noise, unit=unit, seeded=self.privacy.is_seeded)
        return Link(link.name, dataclasses.replace(link.contract, noise=made))

    @cached_property
    def _mixes_records(self) -> bool:
        with torch.random.fork_rng():
            network = self.learns.task(self.model, 3, ("one", "another")).build(0)
            freeze(network, frozen_weights(network, self.training.parts))
            return bool(mixing_layer(trained_part(network).module))

    def _work(self) -> Work:
        work = self.algorithm.work
        if not isinstance(self.algorithm, DpSgd) or self.privacy is None:
            return work
        own = work.noise and dataclasses.replace(work.noise, seeded=self.privacy.is_seeded)
        counts = self.algorithm.noise == "site" and not self.training.steps
        return dataclasses.replace(work, noise=own, counts_records=counts, mixes_records=self._mixes_records)

    @property
    def tested_norm(self) -> float | None:
        """Bound on one update's norm against which an opened sum is tested; ``None`` where noise lengthens updates."""
        noise, clip = self.pipeline.noise, self.pipeline.clip
        return None if clip is None or (noise and not noise.is_central) else clip.norm

    def _calibrated(self) -> AlgorithmSpec:
        if not isinstance(self.algorithm, DpSgd) or self.privacy is None or self.guarantee is None:
            return self.algorithm
        multiplier = self.guarantee.multiplier if self.guarantee.trains_privately else 0.0
        return CalibratedDpSgd(self.algorithm, self.privacy.unit, multiplier, self.privacy.is_seeded)

    def digest(self) -> str:
        """Return the SHA-256 of the plan, 64 hexadecimal digits; every field counts."""
        return hashlib.sha256(canonical_json(_described(self))).hexdigest()


def _described(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        described = {field.name: _described(_as_declared(field, value)) for field in dataclasses.fields(value)}
        fields = {name: member for name, member in described.items() if member is not None}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, dict):
        return {key: _described(member) for key, member in value.items()}
    return [_described(member) for member in value] if isinstance(value, tuple | list) else value


def _as_declared(field: dataclasses.Field[Any], owner: Any) -> Any:
    # ``epochs = 1`` in Python and ``epochs = 1.0`` after the way through TOML are the same plan.
    value = getattr(owner, field.name)
    return float(value) if field.type == "float" else value
