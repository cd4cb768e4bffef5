"""When noise is worth the (epsilon, delta) that is claimed for it."""

from __future__ import annotations

from collections.abc import Sequence

from wardround.checker.contract import Noise, Norm, Picks, Unit, View, Weights
from wardround.checker.mixture import Mixture
from wardround.checker.rule import Rule


def _staged(mixture: Mixture) -> list[tuple[int, str, Noise]]:
    links = enumerate(mixture.stages)
    return [(place, link.name, link.contract.noise) for place, link in links if link.contract.noise is not None]


def _without_bound(mixture: Mixture) -> Sequence[str]:
    def bounded(place: int, noise: Noise) -> bool:
        if noise.unit is Unit.RECORD:
            return mixture.work.bounds_records
        return mixture.before(place, lambda contract: contract.norm is Norm.BOUNDS)

    return [name for place, name, noise in _staged(mixture) if not bounded(place, noise)]


def _coordinates_before(mixture: Mixture) -> Sequence[str]:
    return [
        f"{link.name} before {name}"
        for place, name, noise in _staged(mixture)
        for link in mixture.before_noise(place, noise)
        if link.contract.picks_coordinates is Picks.OWN
    ]


def _share_seen(mixture: Mixture) -> Sequence[str]:
    if mixture.hides(View.EACH):
        return []
    return [name for name, noise in mixture.noises if noise.covers is View.SUM and not noise.by_opener]


def _claimed(mixture: Mixture) -> Sequence[str]:
    return ["a claim of (epsilon, delta)"] if mixture.claims_privacy and not mixture.noises else []


def _reported_weights(mixture: Mixture) -> Sequence[str]:
    if mixture.aggregator.weights is not Weights.REPORTED:
        return []
    return [f"{name} with weights by examples" for name, _ in mixture.noises]


def _seeded(mixture: Mixture) -> Sequence[str]:
    return [name for name, noise in mixture.noises if noise.seeded and mixture.deployed]


def _mixed_records(mixture: Mixture) -> Sequence[str]:
    units = {noise.unit for _, noise in mixture.noises}
    if not mixture.work.mixes_records or not (mixture.work.bounds_records or Unit.RECORD in units):
        return []
    return ["a network with batch statistics"]


NOISE = (
    Rule(
        "noise-without-bound",
        "noise hides what is small beside it, and without a bound nothing is",
        "put a clip stage before it, or train with a bound on what each record contributes",
        _without_bound,
    ),
    Rule(
        "coordinates-before-noise",
        "which coordinates a site chose says what is in its update, and no noise is added to that",
        "choose the coordinates after the noise, or by randomk",
        _coordinates_before,
    ),
    Rule(
        "share-of-noise-seen",
        "each site adds its share of the noise, which is enough for the sum and not for the update that is seen here",
        "add quantise and masks, or let each site add all the noise",
        _share_seen,
    ),
    Rule(
        "claim-without-noise",
        "no noise is added anywhere, so there is no event that it could be computed from",
        "add noise, or take the claim out",
        _claimed,
    ),
    Rule(
        "reported-weights",
        "a site's weight follows from its number of examples, which one record more or less changes, without noise",
        'weigh sites by constants of the plan: [aggregator] weighting = "uniform"',
        _reported_weights,
    ),
    Rule(
        "seeded-noise",
        "who knows the plan's seed can compute the noise and take it off",
        "take the noise of a deployment from the operating system",
        _seeded,
    ),
    Rule(
        "mixed-records",
        "batch statistics carry every record of a batch into the gradient of each, so clipping one bounds nothing",
        "choose a network with group or instance norms",
        _mixed_records,
    ),
)
