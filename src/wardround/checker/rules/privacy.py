"""What else a claim of (epsilon, delta) needs to be true."""

from __future__ import annotations

from collections.abc import Sequence

from wardround.checker.contract import Noise, Norm, Numbers, Unit, View
from wardround.checker.mixture import Link, Mixture
from wardround.checker.rule import Rule


def _shares(mixture: Mixture) -> list[tuple[int, str, Noise]]:
    return [
        (place, link.name, link.contract.noise)
        for place, link in enumerate(mixture.stages)
        if link.contract.noise is not None
        and link.contract.noise.covers is View.SUM
        and not link.contract.noise.by_opener
    ]


def _other_unit(mixture: Mixture) -> Sequence[str]:
    claimed = mixture.claimed_unit
    return [
        f"{name} hides {noise.unit.value}, and the claim is about {claimed.value}"
        for name, noise in mixture.noises
        if claimed is not None and noise.unit is not claimed
    ]


def _noise_twice(mixture: Mixture) -> Sequence[str]:
    staged = [link.name for link in mixture.stages if link.contract.noise is not None]
    return [f"{mixture.work.name} and {name} both add noise" for name in staged if mixture.work.noise is not None]


def _opener_knows(mixture: Mixture) -> Sequence[str]:
    at_sites = mixture.open_at == "sites" or (mixture.open_at == "auto" and mixture.hides(View.SUM))
    return [f"{name} by whoever opens the sum" for name, noise in mixture.noises if noise.by_opener and at_sites]


def _without_threshold(mixture: Mixture) -> Sequence[str]:
    counted = mixture.masking is not None and mixture.masking.threshold
    if counted or not mixture.hides(View.EACH):  # what hides nothing is refused for that
        return []
    return [f"{name} in shares without a threshold of the masks" for _, name, _ in _shares(mixture)]


def _bisected(mixture: Mixture) -> Sequence[str]:
    if mixture.masking is None or not mixture.masking.bisects:
        return []
    return [f"{name} in shares with bisect = true" for _, name, _ in _shares(mixture)]


def _without_range(mixture: Mixture) -> Sequence[str]:
    return [
        f"{name} in shares without a clip"
        for place, name, _ in _shares(mixture)
        if not mixture.before(place, lambda contract: contract.norm is Norm.BOUNDS)
    ]


def _before_noise(mixture: Mixture) -> list[tuple[str, Noise, Link]]:
    return [
        (link.name, link.contract.noise, earlier)
        for place, link in enumerate(mixture.stages)
        if link.contract.noise is not None
        for earlier in mixture.before_noise(place, link.contract.noise)
    ]


def _codes_before(mixture: Mixture) -> Sequence[str]:
    return [
        f"{earlier.name} before {name}"
        for name, _, earlier in _before_noise(mixture)
        if earlier.contract.gives is Numbers.CODES
    ]


def _feedback_before(mixture: Mixture) -> Sequence[str]:
    return [
        f"{earlier.name} with feedback before {name}"
        for name, noise, earlier in _before_noise(mixture)
        if noise.unit is Unit.RECORD and earlier.contract.remembers
    ]


def _of_no_sum(mixture: Mixture) -> Sequence[str]:
    judges = [judge.name for judge in mixture.judges if judge.needs is View.EACH]
    return [f"{name} behind {judge}" for name, noise in mixture.noises if noise.by_opener for judge in judges]


def _steps_by_count(mixture: Mixture) -> Sequence[str]:
    return [f"{mixture.work.name} with steps by passes over the images"] if mixture.work.counts_records else []


def _unclaimed(mixture: Mixture) -> Sequence[str]:
    names = {name for name, _ in mixture.noises} | ({mixture.work.name} if mixture.work.bounds_records else set())
    return [] if mixture.claims_privacy else sorted(names)


def _votes_bare(mixture: Mixture) -> Sequence[str]:
    noisy = mixture.work.votes and (mixture.noises or mixture.claims_privacy)
    return [f"{mixture.work.name} under a claim of (epsilon, delta)"] if noisy else []


PRIVACY = (
    Rule(
        "noise-without-claim",
        "how much noise is added follows from what it is to hide, and how well",
        "say so in a [privacy] table, or leave it out",
        _unclaimed,
    ),
    Rule(
        "other-unit",
        "noise made for one image says nothing of all that a site has",
        "claim the unit that the noise is made for, or add noise that is made for the unit",
        _other_unit,
    ),
    Rule(
        "noise-twice",
        "both cost accuracy, and the claim counts on one",
        "take the noise stage out, or let the training leave the noise to it",
        _noise_twice,
    ),
    Rule(
        "opener-knows-noise",
        "every site would open the sum, and each would know the noise or add another",
        "let the sites add discrete noise in shares, or let the coordinator open the sum",
        _opener_knows,
    ),
    Rule(
        "shares-without-threshold",
        "how much each site must add follows from how many are sure to be in the sum",
        "say so: threshold = … in the masks stage",
        _without_threshold,
    ),
    Rule(
        "shares-bisected",
        "half a sum holds fewer shares of the noise than the claim counts on",
        "leave bisect out, so that a void round ends the run",
        _bisected,
    ),
    Rule(
        "shares-without-range",
        "integers with noise need a range, which follows from a bound on what one site sends",
        "put a clip stage before it",
        _without_range,
    ),
    Rule(
        "codes-before-noise",
        "int8 codes count in units that follow from the site's own update, so that one unit may move all of them",
        "make updates small with quantise, or let each site add the noise before the int8 stage",
        _codes_before,
    ),
    Rule(
        "feedback-before-noise",
        "what is left out of one round comes back in a later one, and one image counts there too, whether drawn or not",
        "say feedback = false, or add the noise before",
        _feedback_before,
    ),
    Rule(
        "noise-of-no-sum",
        "noise made for a sum does not fit a median, nor what a screen left of a sum: one site may move it further",
        'aggregate with "mean" and without screens, or let each site add the noise',
        _of_no_sum,
    ),
    Rule(
        "steps-by-count",
        "how many steps a site takes would follow from how many images it has, without noise",
        "give training.steps, a constant of the plan",
        _steps_by_count,
    ),
    Rule(
        "votes-bare",
        "the sign of every number of an update is no part of the norm that noise is made for, and tells most of it",
        "choose another algorithm, or claim nothing",
        _votes_bare,
    ),
)
