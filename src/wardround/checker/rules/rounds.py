"""Whether the sites of a round can carry out what the plan asks of them."""

from __future__ import annotations

from collections.abc import Sequence

from wardround.checker.contract import View
from wardround.checker.mixture import Mixture
from wardround.checker.rule import Rule


def _quorum(mixture: Mixture) -> Sequence[str]:
    drawn, quorum, size = mixture.cohort.sites_per_round, mixture.cohort.quorum, mixture.cohort.size
    if drawn and quorum > drawn:
        return [f"quorum = {quorum} can never be met by sites_per_round = {drawn}"]
    # A screen lets fewer than half of the sites rest; more than the others can never answer then.
    rests = any(judge.tells_members for judge in mixture.judges)
    if rests and size is not None and quorum > size // 2 + 1:
        return [f"quorum = {quorum} can never be met by {size} sites while others rest"]
    return []


def _drawn_yardstick(mixture: Mixture) -> Sequence[str]:
    work = mixture.work
    return [f"{work.name} with sites_per_round"] if _is_yardstick(mixture) and mixture.cohort.sites_per_round else []


def _averaged_nothing(mixture: Mixture) -> Sequence[str]:
    return [f"{mixture.work.name} with average_decay"] if mixture.averaged and not mixture.work.shares else []


def _protected_yardstick(mixture: Mixture) -> Sequence[str]:
    stages = [link.name for link in mixture.stages] + [screen.name for screen in mixture.screens]
    return [f"{mixture.work.name} with {', '.join(stages)}"] if _is_yardstick(mixture) and stages else []


def _is_yardstick(mixture: Mixture) -> bool:
    return mixture.work.pooled or not mixture.work.shares


def _missing_sites(mixture: Mixture) -> Sequence[str]:
    trainers = mixture.cohort.num_trainers
    wanted = {"sites_per_round": mixture.cohort.sites_per_round, "quorum": mixture.cohort.quorum}
    return [
        f"{key} = {count}, but only {trainers} sites train"
        for key, count in wanted.items()
        if trainers is not None and count > trainers
    ]


def _sum_of_one(mixture: Mixture) -> Sequence[str]:
    size = mixture.cohort.size
    if size is None or size > 1:
        return []
    return [f"{link.name} over one site" for link in mixture.stages if View.EACH in link.contract.hides]


def _indivisible_weights(mixture: Mixture) -> Sequence[str]:
    size, total = mixture.cohort.size, mixture.weight_total
    if not mixture.summed_unread or size is None or size <= total:
        return []
    return [f"{size} sites cannot share weight_total = {total}"]


def _least_sites(mixture: Mixture) -> Sequence[str]:
    masking, grouping = mixture.masking, mixture.grouping
    size, where = mixture.cohort.size, "a round has"
    if grouping is not None:
        size, where = grouping.size, "a group may have"  # it may lose sites down to that
    if masking is None or size is None or masking.least_sites <= size:
        return []
    return [f"masks least_sites = {masking.least_sites}, but {where} {size} sites"]


def _threshold(mixture: Mixture) -> Sequence[str]:
    masking, size = mixture.masking, mixture.cohort.size
    if masking is None or not masking.threshold:
        return []
    sizes = [size] if size is not None else []
    if mixture.grouping is not None:  # who rests or fails changes how many make a group
        sizes = [mixture.grouping.size, 2 * mixture.grouping.size - 1]
    wrong = [size for size in sizes if not size < 2 * masking.threshold <= 2 * size]
    return [f"a mask threshold of {masking.threshold} among {size} sites" for size in wrong[:1]]


def _too_many_masked(mixture: Mixture) -> Sequence[str]:
    size, masking = mixture.cohort.size, mixture.masking
    if masking is None or size is None or size <= masking.most_sites:
        return []
    return [f"masks over {size} sites, more than {masking.most_sites}"]


def _too_few_updates(mixture: Mixture) -> Sequence[str]:
    size, what = mixture.cohort.size, "updates"
    if size is not None and mixture.grouping is not None:
        size, what = mixture.grouping.count(size), "groups"
    return [
        f"{judge.name} needs {judge.least_updates} {what}, and a round has {size}"
        for judge in mixture.judges
        if size is not None and size < judge.least_updates
    ]


def _attacked_hospitals(mixture: Mixture) -> Sequence[str]:
    return list(mixture.attacks[:1]) if mixture.deployed else []


def _unheeded_trust(mixture: Mixture) -> Sequence[str]:
    if mixture.aggregator.heeds_trust:
        return []
    return [f"{screen.name} before {mixture.aggregator.name}" for screen in mixture.screens if screen.gives_trust]


def _probed_without(mixture: Mixture) -> Sequence[str]:
    return [f"{judge.name} without images" for judge in mixture.judges if judge.asks_probe and not mixture.probes]


def _probe_unasked(mixture: Mixture) -> Sequence[str]:
    return ["[probe]"] if mixture.probes and not any(judge.asks_probe for judge in mixture.judges) else []


def _cosigned_alone(mixture: Mixture) -> Sequence[str]:
    few = mixture.cohort.num_trainers is not None and mixture.cohort.num_trainers < 2
    return ["a ledger that one site alone co-signs"] if mixture.cosigned and (few or mixture.work.pooled) else []


ROUNDS = (
    Rule("quorum-beyond-cohort", "no round would ever be complete", "lower the quorum", _quorum),
    Rule(
        "drawn-yardstick",
        "central and local are yardsticks, which train every site in every round",
        "remove sites_per_round",
        _drawn_yardstick,
    ),
    Rule(
        "averaged-nothing",
        "no weights are shared, so there is nothing to average",
        "remove average_decay",
        _averaged_nothing,
    ),
    Rule(
        "protected-yardstick",
        "central and local send no update that could be protected",
        "remove the protect stages and screens",
        _protected_yardstick,
    ),
    Rule("missing-sites", "a round could never bring that many together", "lower it", _missing_sites),
    Rule(
        "sum-of-one",
        "a sum over one site is that site's update, so that masks and encryption need two sites or more",
        "take more sites into a round, or remove the stage",
        _sum_of_one,
    ),
    Rule(
        "cosigned-alone",
        "there is nobody else whose signature would say anything",
        'take more sites, or cosign = "nobody"',
        _cosigned_alone,
    ),
    Rule(
        "indivisible-weights",
        "each site weighs a whole number, at least 1",
        "raise weight_total in the quantise stage, or take fewer sites_per_round",
        _indivisible_weights,
    ),
    Rule("least-sites-beyond-cohort", "no sum would ever be large enough", "lower it", _least_sites),
    Rule(
        "mask-threshold",
        "half the sites or fewer could open a second sum behind the others' backs, and more than there are never open",
        "ask for more than half of the sites and at most all, or for 0 to leave it to the cohort",
        _threshold,
    ),
    Rule(
        "too-many-masked",
        "shares of a mask are numbered with one byte",
        "take fewer sites_per_round, or leave the masks out",
        _too_many_masked,
    ),
    Rule(
        "attacked-hospitals",
        "malicious sites are played in a simulation, never at hospitals",
        "remove the [[attack]] tables, or run the plan with --engine local",
        _attacked_hospitals,
    ),
    Rule(
        "trust-unheeded",
        "it leaves sites a part of their weight, and there every site counts once or not at all",
        'aggregate with "mean", or choose another screen',
        _unheeded_trust,
    ),
    Rule(
        "probed-without-images",
        "it measures updates on images of the coordinator's own, and there are none",
        "add a [probe] table, or choose another screen",
        _probed_without,
    ),
    Rule("probe-unasked", "the images would be kept from training for nobody", "leave it out", _probe_unasked),
    Rule(
        "too-few-updates",
        "there would be nothing left to aggregate",
        "take more sites into a round, or choose another aggregator",
        _too_few_updates,
    ),
)
