"""A plan as the checker sees it: contracts in their order, and who does what with the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from wardround.checker.contract import Contract, Noise, Norm, Numbers, Unit, View, Weights


@dataclass(frozen=True)
class Link:
    """A stage in its place.

    Attributes:
        name: as the plan calls it.
        contract: what it promises.
    """

    name: str
    contract: Contract


@dataclass(frozen=True)
class Work:
    """What an algorithm does at a site before the first stage.

    Attributes:
        name: as the plan calls it.
        shares: whether any weight leaves a site.
        pooled: whether all images lie in one place.
        mirrored: whether the server keeps the mean of something that each site also keeps (control variates), so that
            both must see the same changes.
        bounds_records: whether one record can move the update by no more than a constant of the plan, for a noise
            stage to rely on.
        mixes_records: whether the network's output for one record depends on the others of its batch.
        counts_records: whether how often it steps follows from how many records a site has.
        noise: noise that the training itself adds.
        splits: whether the network is cut, and a body host is sent activations and gradients.
        relays: whether each site goes on from the weights that the last one left.
        updates: whether sites send updates of weights.
        votes: whether sites send, beside their update, the sign of each of its numbers, to be counted.
    """

    name: str = "fedavg"
    shares: bool = True
    pooled: bool = False
    mirrored: bool = False
    bounds_records: bool = False
    mixes_records: bool = False
    counts_records: bool = False
    noise: Noise | None = None
    splits: bool = False
    relays: bool = False
    updates: bool = True
    votes: bool = False


@dataclass(frozen=True)
class Combiner:
    """An aggregator, or a screen before it.

    Attributes:
        name: as the plan calls it.
        needs: what it must see.
        weights: where its weights come from.
        least_updates: fewer leave it without a result.
        gives_trust: whether a screen leaves a site part of its weight.
        heeds_trust: whether an aggregator weighs updates by that.
        asks_probe: whether it needs images of the coordinator's own.
        takes_groups: whether the mean of a group may stand where an update does: it keeps nothing of a site by name.
        tells_members: whether it tells the members of groups apart, which takes groups that change.
    """

    name: str
    needs: View = View.SUM
    weights: Weights = Weights.PUBLIC
    least_updates: int = 1
    gives_trust: bool = False
    heeds_trust: bool = False
    asks_probe: bool = False
    takes_groups: bool = False
    tells_members: bool = False


@dataclass(frozen=True)
class Grouping:
    """How sites are dealt to groups whose sums are opened.

    Attributes:
        size: sites in a group at least.
        regroups: whether every round deals anew.
    """

    size: int
    regroups: bool = True

    def count(self, sites: int) -> int:
        """Return how many groups that many sites make."""
        return max(1, sites // self.size)


@dataclass(frozen=True)
class Masking:
    """What masks ask of a cohort.

    Attributes:
        threshold: sites that must agree; 0 leaves it to the cohort's size.
        least_sites: smallest sum.
        most_sites: largest cohort that the protocol carries.
        bisects: whether parts of a void sum are opened.
    """

    threshold: int
    least_sites: int
    most_sites: int
    bisects: bool = False


@dataclass(frozen=True)
class Cohort:
    """Who takes part in a round.

    Attributes:
        sites_per_round: sites that are drawn; 0 takes all.
        quorum: good updates that a round needs; 0 leaves it to the cohort's size.
        num_trainers: sites that hold training images; ``None`` while nobody knows.
    """

    sites_per_round: int = 0
    quorum: int = 0
    num_trainers: int | None = None

    @property
    def size(self) -> int | None:
        """Sites in a round, as far as that is known."""
        return self.sites_per_round or self.num_trainers


@dataclass(frozen=True)
class Mixture:
    """Everything that rules may look at.

    Attributes:
        stages: in the order in which an update passes them.
        aggregator: what makes one update of many.
        screens: who judges updates before that.
        work: what happens at a site before the first stage.
        cohort: who takes part.
        open_at: ``sites``, ``coordinator`` or ``auto``.
        weight_total: largest sum of integer weights where updates are summed unread.
        masking: what the masks ask for, if there are any.
        cosigned: whether the sites sign the record of the run.
        averaged: whether a moving average of the shared weights is kept.
        claims_privacy: whether the plan promises an (epsilon, delta).
        claimed_unit: whose presence the promise is about.
        deployed: whether this is more than a simulation.
        trusts_coordinator: whether the plan says that the coordinator follows the protocol.
        body_host: ``apart`` or ``coordinator``, where the network is cut; empty where it is not.
        noisy_cut: whether sites add noise to what they send a body host.
        attacks: what malicious sites of a simulation do, as the plan calls it.
        probes: whether the plan sets images aside for the coordinator.
        grouping: how sites are dealt to groups, if they are.
    """

    stages: tuple[Link, ...] = ()
    aggregator: Combiner = Combiner("mean")
    screens: tuple[Combiner, ...] = ()
    work: Work = field(default_factory=Work)
    cohort: Cohort = field(default_factory=Cohort)
    open_at: str = "auto"
    weight_total: int = 0
    masking: Masking | None = None
    cosigned: bool = False
    averaged: bool = False
    claims_privacy: bool = False
    claimed_unit: Unit | None = None
    deployed: bool = False
    trusts_coordinator: bool = False
    body_host: str = ""
    noisy_cut: bool = False
    attacks: tuple[str, ...] = ()
    probes: bool = False
    grouping: Grouping | None = None

    def hides(self, view: View) -> bool:
        """Whether whoever carries and sums the updates cannot read `view`."""
        return any(view in link.contract.hides for link in self.stages)

    @property
    def summed_unread(self) -> bool:
        """Whether updates are added as frames, place by place."""
        return any(link.contract.gives.is_summed for link in self.stages)

    @property
    def judges(self) -> tuple[Combiner, ...]:
        """The aggregator and the screens."""
        return (self.aggregator, *self.screens)

    def sees_groups(self, judge: Combiner) -> bool:
        """Whether a judge that needs each update is given the means of groups in their place."""
        return self.grouping is not None and judge.takes_groups

    @property
    def noises(self) -> tuple[tuple[str, Noise], ...]:
        """Every noise with the name of what adds it."""
        staged = [(link.name, link.contract.noise) for link in self.stages]
        return tuple((name, noise) for name, noise in [(self.work.name, self.work.noise), *staged] if noise)

    def passages(self) -> Iterator[tuple[Numbers, Link]]:
        """Yield each stage with the numbers that reach it."""
        reaching = Numbers.REAL
        for link in self.stages:
            yield reaching, link
            reaching = link.contract.gives

    def before(self, place: int, holds: Callable[[Contract], bool]) -> bool:
        """Whether `holds` for a stage before the one at `place`."""
        return any(holds(link.contract) for link in self.stages[:place])

    def before_noise(self, place: int, noise: Noise) -> tuple[Link, ...]:
        """Return the stages that an update passes before noise, at whatever place the plan names the noise."""
        return self.stages if noise.by_opener else self.stages[:place]

    def bounded_before(self, place: int) -> bool:
        """Whether something bounds the norm, or what one record can do to it, before the stage at `place`."""
        return self.work.bounds_records or self.before(place, lambda contract: contract.norm is Norm.BOUNDS)
