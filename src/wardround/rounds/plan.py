"""A plan: everything that decides what a run computes, as one frozen value with a digest."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

from wardround.aggregate import Mean
from wardround.algorithms import Algorithm, AlgorithmSpec, Central, Local, ServerStep, Training
from wardround.algorithms.server import Averaged
from wardround.core.codec import canonical_json
from wardround.data.catalogue import Source
from wardround.data.sites import Parts, SiteRule
from wardround.errors import PlanError
from wardround.protect.attempt import default_threshold
from wardround.protect.pipeline import Pipeline
from wardround.protect.quantise import Quantise
from wardround.rounds.logbook.rules import LedgerRules
from wardround.tasks.models import ModelSpec

SHARES = ("auto", "predictions", "metrics")


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
class Evaluation:
    """The ``[evaluation]`` table.

    Attributes:
        every: rounds between two looks at the validation part; 0 never looks.
        share: what leaves a site: ``predictions`` (probabilities, labels and opaque group numbers; gives pooled AUC
            and intervals), ``metrics`` (numbers and a confusion matrix only), or ``auto``: predictions where the
            source is published data, metrics elsewhere.
        bootstrap: replicates of the interval.
        min_positives: a class counts in a one-vs-rest AUC when that many patients or lesions show it.
    """

    every: int = 10
    share: str = "auto"
    bootstrap: int = 1000
    min_positives: int = 10

    def __post_init__(self) -> None:
        if self.share not in SHARES:
            raise PlanError(f"evaluation share = {self.share!r} is not one of {', '.join(SHARES)}")
        if self.every < 0 or self.bootstrap < 0 or self.min_positives < 1:
            raise PlanError("evaluation needs every >= 0, bootstrap >= 0 and min_positives >= 1")

    def shares_predictions(self, public: bool) -> bool:
        """Whether predictions leave a site whose images are published, or are not."""
        return self.share == "predictions" or (self.share == "auto" and public)


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
        average_decay: per-round decay of the moving average that is evaluated and saved; 0 saves the last weights.
        ledger: who signs the record of the run (``[ledger]``).
    """

    name: str
    data: DataPlan
    model: ModelSpec
    algorithm: AlgorithmSpec
    training: Training
    server: ServerStep
    aggregator: Mean
    evaluation: Evaluation
    pipeline: Pipeline = field(default_factory=Pipeline)
    seed: int = 1
    rounds: int = 20
    sites_per_round: int = 0
    quorum: int = 0
    timeout_s: float = 0.0
    average_decay: float = 0.0
    ledger: LedgerRules = field(default_factory=LedgerRules)

    def __post_init__(self) -> None:
        if not self.name or not all(letter.isalnum() or letter in "-_" for letter in self.name):
            raise PlanError(f"name = {self.name!r} must be letters, digits, '-' and '_': it names the run folder")
        if self.rounds < 1 or self.seed < 0:
            raise PlanError("a plan needs rounds >= 1 and seed >= 0")
        if self.sites_per_round < 0 or self.quorum < 0 or not 0 <= self.timeout_s < math.inf:
            raise PlanError("sites_per_round, quorum and timeout_s must be finite and not negative")
        if not 0 <= self.average_decay < 1:
            raise PlanError(f"average_decay = {self.average_decay} is outside [0, 1)")

    def check(self) -> None:
        """Refuse mixtures that would run and mean nothing. The coordinator and every site call this.

        Raises:
            PlanError: the first refusal, with its reason and remedy.
        """
        if self.sites_per_round and self.quorum > self.sites_per_round:
            raise PlanError(
                f"quorum = {self.quorum} can never be met by sites_per_round = {self.sites_per_round}: lower the quorum"
            )
        if isinstance(self.algorithm, Central | Local) and self.sites_per_round:
            raise PlanError("central and local train every site in every round: remove sites_per_round")
        if isinstance(self.algorithm, Local) and self.average_decay:
            raise PlanError("local shares no weights, so there is nothing to average: remove average_decay")

        self.pipeline.check()
        if self.pipeline.stages and isinstance(self.algorithm, Central | Local):
            raise PlanError("central and local send no update that could be protected: remove the protect stages")
        if self.ledger.cosign == "sites" and isinstance(self.algorithm, Central):
            raise PlanError("central has one site, and nobody else who could co-sign its ledger: remove cosign")

    def check_cohort(self, num_trainers: int) -> None:
        """Refuse a cohort or a quorum that the sites cannot make up.

        Args:
            num_trainers: sites that hold training images.

        Raises:
            PlanError: `sites_per_round` or `quorum` is too large.
        """
        for key, wanted in (("sites_per_round", self.sites_per_round), ("quorum", self.quorum)):
            if wanted > num_trainers:
                raise PlanError(f"{key} = {wanted}, but only {num_trainers} sites train: lower it")
        cohort = self.sites_per_round or num_trainers
        if self.pipeline.needs_keys and cohort < 2:
            raise PlanError("a sum over one site is that site's update: masks and encryption need two sites or more")
        if self.cosigned and num_trainers < 2:
            raise PlanError('one site alone cannot co-sign a ledger: it needs two sites or more, or cosign = "nobody"')
        if self.pipeline.sums_frames and cohort > self.weight_total:
            raise PlanError(
                f"{cohort} sites cannot share weight_total = {self.weight_total}: "
                + ("take fewer sites_per_round" if self.pipeline.ckks else "raise weight_total in the quantise stage")
            )
        masks = self.pipeline.masks
        if masks:
            default_threshold(cohort, masks.threshold)
            if masks.least_sites > cohort:
                raise PlanError(f"masks least_sites = {masks.least_sites}, but a round has {cohort} sites: lower it")

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
        algorithm = self.algorithm.compose(self.training, self.server)
        if not self.average_decay:
            return algorithm
        return dataclasses.replace(algorithm, server=Averaged(algorithm.server, self.average_decay))

    def digest(self) -> str:
        """Return the SHA-256 of the plan, 64 hexadecimal digits; every field counts."""
        return hashlib.sha256(canonical_json(_described(self))).hexdigest()


def _described(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {field.name: _described(_as_declared(field, value)) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, dict):
        return {key: _described(member) for key, member in value.items()}
    return [_described(member) for member in value] if isinstance(value, tuple | list) else value


def _as_declared(field: dataclasses.Field[Any], owner: Any) -> Any:
    # ``epochs = 1`` in Python and ``epochs = 1.0`` after the way through TOML are the same plan.
    value = getattr(owner, field.name)
    return float(value) if field.type == "float" else value
